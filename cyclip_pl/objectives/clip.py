"""CLIP: the symmetric contrastive loss."""

from __future__ import annotations

import torch
from torch import Tensor

from cyclip_pl.losses.contrastive import contrastive_loss
from cyclip_pl.objectives.base import ScaledObjective, caption_ids_of
from cyclip_pl.types import Embeddings


class CLIP(ScaledObjective):
    """Radford et al., arXiv 2103.00020.

    Args:
        mask_equal_captions: Whether samples whose captions are the same are not each other's
            negatives; *our choice*, not the paper's.
        init_scale, max_scale: See `ScaledObjective`.
    """

    def __init__(
        self,
        mask_equal_captions: bool = False,
        init_scale: float | None = None,
        max_scale: float = 100.0,
    ) -> None:
        super().__init__(init_scale, max_scale)
        self.mask_equal_captions = mask_equal_captions

    def forward(self, embeddings: Embeddings) -> dict[str, Tensor]:
        """`Embeddings` (V, n, D) and (U, n, D) → {"total", "contrastive"}."""
        ids = caption_ids_of(embeddings, self.mask_equal_captions)
        losses = [
            contrastive_loss(*pair, self.scale, caption_ids=ids) for pair in embeddings.pairs()
        ]
        contrastive = torch.stack(losses).mean()
        return {"total": contrastive, "contrastive": contrastive}
