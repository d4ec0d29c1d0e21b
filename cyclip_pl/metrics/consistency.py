"""Consistency score: do the zero-shot prediction and the image's neighbours agree?

Shape legend: N images, k neighbours, X numbers of neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from cyclip_pl.metrics.base import BaseMetric
from cyclip_pl.metrics.bootstrap import shares


def agree(prediction_N: Tensor, majority_N: Tensor) -> Tensor:
    """Where both are the same class; -1, not finite, is none: bool, (N,)."""
    return (prediction_N == majority_N) & (majority_N >= 0)


class ConsistencyScore(BaseMetric):
    """Share of images whose zero-shot prediction is the majority label of their neighbours.

    `k<k>` for each number k of nearest labelled training images (CyCLIP, arXiv 2205.14459), with
    the bounds `k<k>_low` and `k<k>_high` of `bootstrap`.

        consistency = ConsistencyScore(ks=(1, 10))
        _, near_Nk = labels_of_nearest(image_ND, train_MD, train_label_M, k=10)
        consistency.update(score_NK.argmax(1), majority(near_Nk))

    Args:
        ks: The numbers of neighbours.
        intervals: Whether to compute the bounds.
        kwargs: See `torchmetrics.Metric`.
    """

    higher_is_better = True
    plot_lower_bound, plot_upper_bound = 0.0, 1.0
    agree_X: Tensor
    images: Tensor

    def __init__(
        self, ks: Sequence[int] = (1, 3, 5, 10, 30), intervals: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.ks = tuple(ks)
        self.intervals = intervals
        self.add_count("agree_X", len(self.ks))
        self.add_count("images")

    def update(self, prediction_N: Tensor, majority_Nk: Tensor) -> None:
        """Add images.

        Args:
            prediction_N: int64, -1 for none.
            majority_Nk: Of their k nearest labels, see `neighbours.majority`; k at least max(ks).
        """
        chosen_NX = majority_Nk[:, [k - 1 for k in self.ks]]
        self.agree_X = self.agree_X + agree(prediction_N[:, None], chosen_NX).sum(0)
        self.images = self.images + len(prediction_N)

    def compute(self) -> dict[str, Tensor]:
        """All values by name, float64."""
        hits = dict(zip((f"k{k}" for k in self.ks), self.agree_X.tolist(), strict=True))
        return self.scalars(shares(hits, int(self.images), self.intervals))
