"""What all objectives have in common: `Embeddings` in, named terms out."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from cyclip_pl import checks
from cyclip_pl.objectives.needs import Needs
from cyclip_pl.types import Embeddings

_ROUNDING = 1.001  # many models end at 100, and a logarithm in half precision is near it


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

    def begin_from(self, scale: float, bias: float | None) -> None:
        """Begin with the scale and bias that the pretrained embeddings were trained with.

        What was given as `init_scale` or `init_bias` stays.

        Raises:
            ValueError: The scale is out of the objective's range.
        """

    @torch.no_grad()
    def clamp_(self) -> None:
        """Clamp learnable scalars to their range; called after each optimiser step."""


def caption_ids_of(embeddings: Embeddings, mask_equal_captions: bool) -> Tensor | None:
    """What losses get as `caption_ids`; None if equal captions are not masked.

    Raises:
        ValueError: They are to be masked and the batches have no `caption_ids`.
    """
    if mask_equal_captions and embeddings.caption_ids is None:
        raise ValueError("objective.mask_equal_captions=true: the batches have no caption_ids")
    return embeddings.caption_ids if mask_equal_captions else None


class ScaledObjective(Objective):
    """An objective with CLIP's learnable similarity multiplier.

    Args:
        init_scale: First value of s = exp(logit_scale), in [1, max_scale]. None for that of
            pretrained weights, or `first_scale`.
        max_scale: Upper bound of s; the lower bound is 1 (logit_scale in [0, ln max_scale]).
    """

    first_scale = 1 / 0.07

    def __init__(self, init_scale: float | None = None, max_scale: float = 100.0) -> None:
        super().__init__()
        checks.number("objective.max_scale", max_scale, least=1)
        checks.number("objective.init_scale", init_scale, least=1, most=max_scale, optional=True)
        self.init_scale = init_scale
        self.max_scale = max_scale
        self.max_log_scale = math.log(max_scale)
        first = min(self.first_scale, max_scale) if init_scale is None else init_scale
        # One element instead of zero dimensions, as checkpoints have it.
        self.logit_scale = nn.Parameter(torch.tensor([math.log(first)]))

    @torch.no_grad()
    def begin_from(self, scale: float, bias: float | None) -> None:
        if self.init_scale is not None:
            return
        if not 1 <= scale <= self.max_scale * _ROUNDING:
            raise ValueError(
                f"objective.max_scale={self.max_scale:g}: the pretrained weights have the scale"
                f" {scale:.1f}; set objective.max_scale={2 * scale:.0f}, or objective.init_scale"
            )
        self.logit_scale.fill_(min(math.log(scale), self.max_log_scale))

    @property
    def scale(self) -> Tensor:
        """s, the multiplier, a scalar."""
        return self.logit_scale.exp().squeeze()

    def scalars(self) -> dict[str, Tensor]:
        return {"scale": self.scale.detach()}

    @torch.no_grad()
    def clamp_(self) -> None:
        self.logit_scale.clamp_(0, self.max_log_scale)
