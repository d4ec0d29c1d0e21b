"""How far apart the images and the texts lie as a whole."""

from __future__ import annotations

import torch
from torch import Tensor

from cyclip_pl.metrics.base import RowSums


class ModalityGap(RowSums):
    """|mean of the images - mean of the texts|, Euclidean (Liang et al., arXiv 2203.02053).

    nan if a modality has no rows.

        gap = ModalityGap(width=512)
        gap.update(image_ND, text_MD)
        self.log("val/modality_gap", gap)
    """

    higher_is_better = False
    sums = {"image": 1, "text": 1}

    def update(self, image_ND: Tensor, text_MD: Tensor) -> None:
        """Add images, (N, D), and texts, (M, D)."""
        image_ND, text_MD = self.doubles(image=image_ND, text=text_MD)
        self.add("image", image_ND.sum(0), len(image_ND))
        self.add("text", text_MD.sum(0), len(text_MD))

    def compute(self) -> Tensor:
        return self.scalar(torch.linalg.vector_norm(self.mean("image") - self.mean("text")))
