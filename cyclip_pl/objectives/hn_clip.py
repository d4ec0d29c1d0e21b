"""CLIP in which harder negatives weigh more."""

from __future__ import annotations

import torch
from torch import Tensor

from cyclip_pl import checks
from cyclip_pl.losses.hn_nce import hard_negative_loss
from cyclip_pl.objectives.base import ScaledObjective
from cyclip_pl.types import Embeddings


class HardNegativeCLIP(ScaledObjective):
    """HN-NCE of Radenovic et al., arXiv 2301.02280; α = 1 and β = 0 are CLIP.

    Args:
        alpha: α in (0, 1], the share of the positive in the denominator.
        beta: β, at least 0: how much more the harder negatives weigh.
        top_k: Number of the hardest negatives per row that count, 1 or more; None for all.
        init_scale, max_scale: See `ScaledObjective`.
    """

    def __init__(
        self,
        alpha: float = 1.0,
        beta: float = 0.25,
        top_k: int | None = None,
        init_scale: float | None = None,
        max_scale: float = 100.0,
    ) -> None:
        super().__init__(init_scale, max_scale)
        checks.number("objective.alpha", alpha, above=0, most=1)
        checks.number("objective.beta", beta, least=0)
        checks.whole("objective.top_k", top_k, optional=True)
        self.alpha = alpha
        self.beta = beta
        self.top_k = top_k

    def forward(self, embeddings: Embeddings) -> dict[str, Tensor]:
        """`Embeddings` (V, n, D) and (U, n, D) → {"total", "hard_negative"}."""
        losses = [
            hard_negative_loss(*pair, self.scale, self.alpha, self.beta, self.top_k)
            for pair in embeddings.pairs()
        ]
        loss = torch.stack(losses).mean()
        return {"total": loss, "hard_negative": loss}
