"""Fine- and coarse-grained accuracy over classes grouped into superclasses.

As in CyCLIP (arXiv 2205.14459): which level of the hierarchy do the errors come from?
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from cyclip_pl.metrics.accuracy import rank_of_label
from cyclip_pl.metrics.base import Shares


def fine_ranks(score_NK: Tensor, label_N: Tensor, superclass_K: Tensor) -> Tensor:
    """Position of the true class among the classes of its superclass, 0 the best: int64, (N,).

    Of equal scores the lower class number comes first; a row that is not finite ranks last, at K.
    Labels and superclasses are int64.
    """
    outside_NK = superclass_K[label_N][:, None] != superclass_K
    within_NK = score_NK.masked_fill(outside_NK, torch.finfo(score_NK.dtype).min)
    finite_N = score_NK.isfinite().all(1)
    return torch.where(finite_N, rank_of_label(within_NK, label_N), score_NK.shape[1])


def coarse_ranks(score_NK: Tensor, label_N: Tensor, superclass_K: Tensor) -> Tensor:
    """Position of the true superclass, 0 the best: int64, (N,).

    A superclass scores the maximum over its classes. Superclass numbers without a class do not
    compete. Of equal scores the lower number comes first; a row that is not finite ranks last, at
    S, the number of superclasses that have a class.
    """
    present_S, dense_K = superclass_K.unique(return_inverse=True)
    score_NS = score_NK.new_full((len(score_NK), len(present_S)), -torch.inf)
    score_NS.scatter_reduce_(1, dense_K.expand_as(score_NK), score_NK, "amax")
    finite_N = score_NK.isfinite().all(1)
    return torch.where(finite_N, rank_of_label(score_NS, dense_K[label_N]), len(present_S))


class HierarchyAccuracy(Shares):
    """Top-k accuracy among the classes of the true superclass, and among superclasses.

    `superclass_K` is the superclass of each class, int64. `fine_acc<k>` is the share of images with
    `fine_ranks` below k, `coarse_acc<k>` that with `coarse_ranks` below k. A k that says nothing is
    left out: a coarse k above the number of superclasses, a fine k that no superclass has more
    classes than. In a superclass of at most k classes every image is a fine hit.

        accuracy = HierarchyAccuracy(superclass_K=torch.tensor([0, 0, 1, 1]), top_k=(1,))
        accuracy.update(image_ND @ class_KD.T, label_N)
        self.log_dict(accuracy.compute())
    """

    superclass_K: Tensor

    def __init__(
        self, superclass_K: Tensor, top_k: Sequence[int] = (1, 2, 3), **kwargs: Any
    ) -> None:
        classes_S = superclass_K.unique(return_counts=True)[1]
        self.fine_k = [k for k in top_k if k < classes_S.max()]
        self.coarse_k = [k for k in top_k if k <= len(classes_S)]
        names = [f"fine_acc{k}" for k in self.fine_k] + [f"coarse_acc{k}" for k in self.coarse_k]
        super().__init__(names, **kwargs)
        self.register_buffer("superclass_K", superclass_K, persistent=False)

    def update(self, score_NK: Tensor, label_N: Tensor) -> None:
        """Add images: scores, (N, K), and true classes, int64, (N,)."""
        fine_N1 = fine_ranks(score_NK, label_N, self.superclass_K)[:, None]
        coarse_N1 = coarse_ranks(score_NK, label_N, self.superclass_K)[:, None]
        fine_NX = fine_N1 < fine_N1.new_tensor(self.fine_k)
        coarse_NX = coarse_N1 < coarse_N1.new_tensor(self.coarse_k)
        self.count(torch.cat([fine_NX, coarse_NX], 1))
