"""How far apart the images and the texts lie as a whole.

Shape legend: N images, M texts, D width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cyclip_pl.metrics.base import ExactSums, as_double, check_width


class ModalityGap(ExactSums):
    """|mean of the images - mean of the texts|, Euclidean (Liang et al., arXiv 2203.02053).

    nan if a row is not finite, or a modality has none.

        gap = ModalityGap(width=512)
        gap.update(image_ND, text_MD)
        self.log("val/modality_gap", gap)
    """

    higher_is_better = False
    texts: Tensor

    def __init__(self, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.width = width
        self.add_sum("image", width)
        self.add_sum("text", width)
        self.add_count("texts")

    def update(self, image_ND: Tensor, text_MD: Tensor) -> None:
        """Add images, (N, D), and texts, (M, D)."""
        check_width(self.width, image=image_ND, text=text_MD)
        self.add("image", as_double(image_ND).sum(0))
        self.add("text", as_double(text_MD).sum(0))
        self.count = self.count + len(image_ND)
        self.texts = self.texts + len(text_MD)

    def compute(self) -> Tensor:
        """A scalar, float64."""
        gap_D = self.total("image") / self.count - self.total("text") / self.texts
        return self.scalar(torch.linalg.vector_norm(gap_D).item())
