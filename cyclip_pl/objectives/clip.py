"""CLIP: the symmetric contrastive loss."""

from __future__ import annotations

import torch
from torch import Tensor

from cyclip_pl.losses.contrastive import contrastive_loss
from cyclip_pl.objectives.base import ScaledObjective
from cyclip_pl.types import Embeddings


class CLIP(ScaledObjective):
    """Radford et al., arXiv 2103.00020."""

    def forward(self, embeddings: Embeddings) -> dict[str, Tensor]:
        """`Embeddings` (V, n, D) and (U, n, D) → {"total", "contrastive"}."""
        losses = [contrastive_loss(*pair, self.scale) for pair in embeddings.pairs()]
        contrastive = torch.stack(losses).mean()
        return {"total": contrastive, "contrastive": contrastive}
