"""SigLIP: each pair of the batch is a binary classification."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cyclip_pl.losses.sigmoid import sigmoid_loss
from cyclip_pl.objectives.base import ScaledObjective
from cyclip_pl.types import Embeddings


class SigLIP(ScaledObjective):
    """Zhai et al., arXiv 2303.15343; the paper starts with scale 10 and bias −10.

    Args:
        init_scale, max_scale: See `ScaledObjective`.
        init_bias: First value of the learnable bias, negative because nearly all pairs are.
    """

    def __init__(
        self, init_scale: float = 10.0, init_bias: float = -10.0, max_scale: float = 100.0
    ) -> None:
        super().__init__(init_scale, max_scale)
        self.logit_bias = nn.Parameter(torch.tensor([float(init_bias)]))

    def scalars(self) -> dict[str, Tensor]:
        return {**super().scalars(), "bias": self.logit_bias.detach().squeeze()}

    def forward(self, embeddings: Embeddings) -> dict[str, Tensor]:
        """`Embeddings` (V, n, D) and (U, n, D) → {"total", "sigmoid"}."""
        bias = self.logit_bias.squeeze()
        losses = [sigmoid_loss(*pair, self.scale, bias) for pair in embeddings.pairs()]
        sigmoid = torch.stack(losses).mean()
        return {"total": sigmoid, "sigmoid": sigmoid}
