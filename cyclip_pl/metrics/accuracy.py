"""Accuracy within the top k, overall and per class; of scores or of given predictions.

Shape legend: N images, K classes, X kinds of hits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from cyclip_pl.metrics.base import BaseMetric
from cyclip_pl.metrics.bootstrap import shares


def rank_of_label(score_NK: Tensor, label_N: Tensor) -> Tensor:
    """Position of the true class among its row's scores, 0 is the best: int64, (N,).

    Of equal scores the lower class number comes first, as in a stable sort, on any device and in
    any batch. A row with a score that is not finite puts its class last, at K: a diverged model
    must not score.
    """
    classes = score_NK.shape[1]
    true_N1 = score_NK.gather(1, label_N[:, None])
    earlier_NK = torch.arange(classes, device=score_NK.device) < label_N[:, None]
    ahead_NK = (score_NK > true_N1) | ((score_NK == true_N1) & earlier_NK)
    return torch.where(score_NK.isfinite().all(1), ahead_NK.sum(1), classes)


def recall_per_class(hit_K: Tensor, image_K: Tensor) -> Tensor:
    """Hits per image of each class, float64, on the CPU; nan for a class without images."""
    return hit_K.cpu().double() / image_K.cpu()


def mean_recall(hit_K: Tensor, image_K: Tensor) -> float:
    """Mean of `recall_per_class` over the classes that have images; nan if none has."""
    return recall_per_class(hit_K, image_K)[image_K.cpu() > 0].mean().item()


class ClassHits(BaseMetric):
    """Counts, per class, of images and of X kinds of hits: what metrics of accuracy share."""

    higher_is_better = True
    plot_lower_bound, plot_upper_bound = 0.0, 1.0
    hit_XK: Tensor
    image_K: Tensor

    def __init__(self, num_classes: int, kinds: int, intervals: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.intervals = intervals
        self.add_count("hit_XK", kinds, num_classes)
        self.add_count("image_K", num_classes)

    def count(self, hit_XN: Sequence[Tensor], label_N: Tensor) -> None:
        """Add the images of an update.

        Raises:
            ValueError: A label is not one of the classes.
        """
        if len(label_N) and not 0 <= label_N.min() <= label_N.max() < self.num_classes:
            raise ValueError(
                f"labels {label_N.min()} to {label_N.max()}: must be from 0 to "
                f"{self.num_classes - 1}, the metric's classes"
            )
        of_class = [torch.bincount(label_N[hit_N], minlength=self.num_classes) for hit_N in hit_XN]
        if of_class:
            self.hit_XK = self.hit_XK + torch.stack(of_class)
        self.image_K = self.image_K + torch.bincount(label_N, minlength=self.num_classes)

    def shares(self, names: Sequence[str], hit_XK: Tensor) -> dict[str, float]:
        """The share of hits of each kind, under its name, with its bounds."""
        hits = dict(zip(names, hit_XK.sum(1).tolist(), strict=True))
        return shares(hits, int(self.image_K.sum()), self.intervals)


class TopKAccuracy(ClassHits):
    """Share of images whose true class is among the k best scores, and the mean recall per class.

    `acc<k>` is that share for each k, with the bounds `acc<k>_low` and `acc<k>_high` of
    `bootstrap`. `mean_per_class_recall` is the mean, over the classes that have images, of the
    share of each class's images at k = 1. For ties and scores that are not finite see
    `rank_of_label`: classes of one name that share a score count for the first of them.

    torchmetrics' `MulticlassAccuracy` agrees where both apply, but leaves the order of equal scores
    to `torch.topk`, and counts a class without images as 0 once an image is mistaken for it.

        accuracy = TopKAccuracy(num_classes=1000)
        accuracy.update(image_ND @ class_KD.T, label_N)
        self.log_dict(accuracy.compute())

    Args:
        num_classes: K.
        top_k: The k's; those above K are left out.
        intervals: Whether to compute the bounds.
        kwargs: See `torchmetrics.Metric`.
    """

    def __init__(
        self,
        num_classes: int,
        top_k: Sequence[int] = (1, 3, 5),
        intervals: bool = True,
        **kwargs: Any,
    ) -> None:
        self.top_k = tuple(k for k in top_k if k <= num_classes)
        super().__init__(num_classes, 1 + len(self.top_k), intervals, **kwargs)

    def update(self, score_NK: Tensor, label_N: Tensor) -> None:
        """Add images: scores, (N, K), and true classes, int64, (N,)."""
        rank_N = rank_of_label(score_NK, label_N)
        self.count([rank_N < k for k in (1, *self.top_k)], label_N)

    def compute(self) -> dict[str, Tensor]:
        """All values by name, float64."""
        values = self.shares([f"acc{k}" for k in self.top_k], self.hit_XK[1:])
        values["mean_per_class_recall"] = mean_recall(self.hit_XK[0], self.image_K)
        return self.scalars(values)


class PerClassAccuracy(ClassHits):
    """Share of each class's images that score the class highest; nan for a class without images.

    Ties and scores that are not finite as in `TopKAccuracy`.

        accuracy = PerClassAccuracy(num_classes=10)
        accuracy.update(score_NK, label_N)
        accuracy_K = accuracy.compute()
    """

    plot_legend_name = "Class"

    def __init__(self, num_classes: int, **kwargs: Any) -> None:
        super().__init__(num_classes, 1, False, **kwargs)

    def update(self, score_NK: Tensor, label_N: Tensor) -> None:
        """Add images: scores, (N, K), and true classes, int64, (N,)."""
        self.count([rank_of_label(score_NK, label_N) == 0], label_N)

    def compute(self) -> Tensor:
        """float64, (K,)."""
        return recall_per_class(self.hit_XK[0], self.image_K).to(self.scalar(math.nan))


class PredictionAccuracy(ClassHits):
    """Share of predictions that are right, and its mean over classes.

    `acc1`, with the bounds `acc1_low` and `acc1_high`, and `mean_per_class_recall`, as in
    `TopKAccuracy`. A prediction of -1 is for no class.

        accuracy = PredictionAccuracy(num_classes=10)
        accuracy.update(probe(feature_NF).argmax(1), label_N)
        self.log_dict(accuracy.compute())
    """

    def __init__(self, num_classes: int, intervals: bool = True, **kwargs: Any) -> None:
        super().__init__(num_classes, 1, intervals, **kwargs)

    def update(self, prediction_N: Tensor, label_N: Tensor) -> None:
        """Add images: predicted and true classes, int64, (N,)."""
        self.count([prediction_N == label_N], label_N)

    def compute(self) -> dict[str, Tensor]:
        """All values by name, float64."""
        values = self.shares(["acc1"], self.hit_XK)
        values["mean_per_class_recall"] = mean_recall(self.hit_XK[0], self.image_K)
        return self.scalars(values)
