"""What all objectives have in common: `Embeddings` in, named terms out."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from cyclip_pl import checks
from cyclip_pl.objectives.needs import Needs
from cyclip_pl.types import Embeddings


class Objective(nn.Module, ABC):
    """Base class; a subclass implements `forward` and may override `needs` and `clamp_`.

    With several views a term is the mean over all pairs of an image view and a text view, unless
    the subclass says otherwise. Constructors raise ValueError, one line, for an argument out of the
    range that `Args` states.
    """

    needs: Needs = Needs()

    @abstractmethod
    def forward(self, embeddings: Embeddings) -> dict[str, Tensor]:
        """Named scalar terms, global over the ranks; training minimises `total`."""

    def scalars(self) -> dict[str, Tensor]:
        """Learnable scalars to log, by name."""
        return {}

    @torch.no_grad()
    def clamp_(self) -> None:
        """Clamp learnable scalars to their range; called after each optimiser step."""


class ScaledObjective(Objective):
    """An objective with CLIP's learnable similarity multiplier.

    Args:
        init_scale: First value of s = exp(logit_scale), in [1, max_scale].
        max_scale: Upper bound of s; the lower bound is 1 (logit_scale in [0, ln max_scale]).
    """

    def __init__(self, init_scale: float = 1 / 0.07, max_scale: float = 100.0) -> None:
        super().__init__()
        checks.number("objective.max_scale", max_scale, least=1)
        checks.number("objective.init_scale", init_scale, least=1, most=max_scale)
        self.max_log_scale = math.log(max_scale)
        # One element instead of zero dimensions, because FSDP does not shard scalars.
        self.logit_scale = nn.Parameter(torch.tensor([math.log(init_scale)]))

    @property
    def scale(self) -> Tensor:
        """s, the multiplier, a scalar."""
        return self.logit_scale.exp().squeeze()

    def scalars(self) -> dict[str, Tensor]:
        return {"scale": self.scale.detach()}

    @torch.no_grad()
    def clamp_(self) -> None:
        self.logit_scale.clamp_(0, self.max_log_scale)
