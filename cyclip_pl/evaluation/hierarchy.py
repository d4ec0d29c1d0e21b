"""Fine- and coarse-grained accuracy over classes grouped into superclasses.

As in CyCLIP (arXiv 2205.14459): which level of the hierarchy do the errors come from?

Shape legend: N images, K classes, S superclasses that have a class.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cyclip_pl.evaluation.accuracy import rank_of_label


def fine_ranks(score_NK: Tensor, label_N: Tensor, superclass_K: Tensor) -> Tensor:
    """Where the true class stands among the classes of its superclass, 0 the best: int64, (N,).

    Image n is a hit of the fine-grained top-k accuracy, a plain (micro) average over images, if its
    rank is below k. In a superclass of at most k classes every image is therefore a hit. Of equal
    scores the lower class number comes first; a row that is not finite ranks last, at K.

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
    """Where the true superclass stands, 0 the best: int64, (N,).

    A superclass scores the maximum over its classes. Superclass numbers without a class do not
    compete. Of equal scores the lower number comes first; a row that is not finite ranks last, at
    S. Arguments as for `fine_ranks`.
    """
    present_S, dense_K = superclass_K.unique(return_inverse=True)
    score_NS = score_NK.new_full((len(score_NK), len(present_S)), -torch.inf)
    score_NS.scatter_reduce_(1, dense_K.expand_as(score_NK), score_NK, "amax")
    finite_N = score_NK.isfinite().all(1)
    return torch.where(finite_N, rank_of_label(score_NS, dense_K[label_N]), len(present_S))
