"""Consistency score: do the zero-shot prediction and the image's neighbours agree?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from cyclip_pl.metrics.base import Shares


class ConsistencyScore(Shares):
    """Share of images whose zero-shot prediction is the majority label of their neighbours.

    `k<k>` for each number k of nearest labelled training images (CyCLIP, arXiv 2205.14459). A
    majority label of -1, of neighbours that are not finite, agrees with nothing.

        consistency = ConsistencyScore(ks=(1, 10))
        _, near_Nk = labels_of_nearest(image_ND, train_MD, train_label_M, k=10)
        consistency.update(score_NK.argmax(1), majority(near_Nk))
    """

    def __init__(self, ks: Sequence[int] = (1, 3, 5, 10, 30), **kwargs: Any) -> None:
        self.ks = tuple(ks)
        super().__init__([f"k{k}" for k in self.ks], **kwargs)

    def update(self, prediction_N: Tensor, majority_Nk: Tensor) -> None:
        """Add images: int64 predictions, -1 for none, and `neighbours.majority`; k >= max(ks)."""
        chosen_NX = majority_Nk[:, [k - 1 for k in self.ks]]
        self.count((prediction_N[:, None] == chosen_NX) & (chosen_NX >= 0))
