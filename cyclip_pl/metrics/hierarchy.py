"""Fine- and coarse-grained accuracy over classes grouped into superclasses.

As in CyCLIP (arXiv 2205.14459): which level of the hierarchy do the errors come from?

Shape legend: N images, K classes, S superclasses that have a class, T numbers k.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from cyclip_pl.metrics.accuracy import rank_of_label
from cyclip_pl.metrics.base import BaseMetric
from cyclip_pl.metrics.bootstrap import shares


def fine_ranks(score_NK: Tensor, label_N: Tensor, superclass_K: Tensor) -> Tensor:
    """Position of the true class among the classes of its superclass, 0 the best: int64, (N,).

    Of equal scores the lower class number comes first; a row that is not finite ranks last, at K.

    Args:
        score_NK: Scores of all classes.
        label_N: True classes, int64.
        superclass_K: The superclass of each class, int64.
    """
    outside_NK = superclass_K[label_N][:, None] != superclass_K
    within_NK = score_NK.masked_fill(outside_NK, torch.finfo(score_NK.dtype).min)
    finite_N = score_NK.isfinite().all(1)
    return torch.where(finite_N, rank_of_label(within_NK, label_N), score_NK.shape[1])


def coarse_ranks(score_NK: Tensor, label_N: Tensor, superclass_K: Tensor) -> Tensor:
    """Position of the true superclass, 0 the best: int64, (N,).

    A superclass scores the maximum over its classes. Superclass numbers without a class do not
    compete. Of equal scores the lower number comes first; a row that is not finite ranks last, at
    S. Arguments as for `fine_ranks`.
    """
    present_S, dense_K = superclass_K.unique(return_inverse=True)
    score_NS = score_NK.new_full((len(score_NK), len(present_S)), -torch.inf)
    score_NS.scatter_reduce_(1, dense_K.expand_as(score_NK), score_NK, "amax")
    finite_N = score_NK.isfinite().all(1)
    return torch.where(finite_N, rank_of_label(score_NS, dense_K[label_N]), len(present_S))


class HierarchyAccuracy(BaseMetric):
    """Top-k accuracy among the classes of the true superclass, and among superclasses.

    `fine_acc<k>` is the share of images with `fine_ranks` below k, `coarse_acc<k>` that with
    `coarse_ranks` below k, each with its bounds `_low` and `_high` of `bootstrap`. A k that says
    nothing is left out: a coarse k above the number of superclasses, a fine k that no superclass
    has more classes than. In a superclass of at most k classes every image is a fine hit.

        accuracy = HierarchyAccuracy(superclass_K=torch.tensor([0, 0, 1, 1]), top_k=(1,))
        accuracy.update(image_ND @ class_KD.T, label_N)
        self.log_dict(accuracy.compute())

    Args:
        superclass_K: The superclass of each class, int64.
        top_k: The k's.
        intervals: Whether to compute the bounds.
        kwargs: See `torchmetrics.Metric`.
    """

    higher_is_better = True
    plot_lower_bound, plot_upper_bound = 0.0, 1.0
    superclass_K: Tensor
    fine_T: Tensor
    coarse_T: Tensor
    images: Tensor

    def __init__(
        self,
        superclass_K: Tensor,
        top_k: Sequence[int] = (1, 2, 3),
        intervals: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        classes_S = superclass_K.unique(return_counts=True)[1]
        self.fine_k = [k for k in top_k if k < classes_S.max()]
        self.coarse_k = [k for k in top_k if k <= len(classes_S)]
        self.intervals = intervals
        self.register_buffer("superclass_K", superclass_K, persistent=False)
        self.add_count("fine_T", len(self.fine_k))
        self.add_count("coarse_T", len(self.coarse_k))
        self.add_count("images")

    def update(self, score_NK: Tensor, label_N: Tensor) -> None:
        """Add images: scores, (N, K), and true classes, int64, (N,)."""
        fine_N = fine_ranks(score_NK, label_N, self.superclass_K)
        coarse_N = coarse_ranks(score_NK, label_N, self.superclass_K)
        self.fine_T = self.fine_T + _within(fine_N, self.fine_k)
        self.coarse_T = self.coarse_T + _within(coarse_N, self.coarse_k)
        self.images = self.images + len(label_N)

    def compute(self) -> dict[str, Tensor]:
        """All values by name, float64."""
        hits = {
            **dict(zip((f"fine_acc{k}" for k in self.fine_k), self.fine_T.tolist(), strict=True)),
            **dict(
                zip((f"coarse_acc{k}" for k in self.coarse_k), self.coarse_T.tolist(), strict=True)
            ),
        }
        return self.scalars(shares(hits, int(self.images), self.intervals))


def _within(rank_N: Tensor, ks: Sequence[int]) -> Tensor:
    return (rank_N[:, None] < torch.tensor(ks, dtype=torch.int64, device=rank_N.device)).sum(0)
