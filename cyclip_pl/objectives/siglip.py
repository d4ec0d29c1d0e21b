"""SigLIP: each pair of the batch is a binary classification."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cyclip_pl import checks
from cyclip_pl.losses.sigmoid import sigmoid_loss
from cyclip_pl.objectives.base import ScaledObjective
from cyclip_pl.types import Embeddings

_FIRST_BIAS = -10.0


class SigLIP(ScaledObjective):
    """Zhai et al., arXiv 2303.15343; the paper starts with scale 10 and bias −10.

    Args:
        init_scale, max_scale: See `ScaledObjective`.
        init_bias: First value of the learnable bias, negative because nearly all pairs are. None
            for that of pretrained weights, or −10.
    """

    first_scale = 10.0

    def __init__(
        self,
        init_scale: float | None = None,
        init_bias: float | None = None,
        max_scale: float = 100.0,
    ) -> None:
        super().__init__(init_scale, max_scale)
        checks.number("objective.init_bias", init_bias, optional=True)
        self.init_bias = init_bias
        first = _FIRST_BIAS if init_bias is None else float(init_bias)
        self.logit_bias = nn.Parameter(torch.tensor([first]))

    @torch.no_grad()
    def begin_from(self, scale: float, bias: float | None) -> None:
        # The two belong together: a scale that was learnt without a bias is not one of a sigmoid.
        if bias is None:
            return
        super().begin_from(scale, bias)
        if self.init_bias is None:
            self.logit_bias.fill_(bias)

    def scalars(self) -> dict[str, Tensor]:
        return {**super().scalars(), "bias": self.logit_bias.detach().squeeze()}

    def forward(self, embeddings: Embeddings) -> dict[str, Tensor]:
        """`Embeddings` (V, n, D) and (U, n, D) → {"total", "sigmoid"}."""
        bias = self.logit_bias.squeeze()
        losses = [sigmoid_loss(*pair, self.scale, bias) for pair in embeddings.pairs()]
        sigmoid = torch.stack(losses).mean()
        return {"total": sigmoid, "sigmoid": sigmoid}
