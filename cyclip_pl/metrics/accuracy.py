"""Accuracy within the top k, overall and per class; of scores or of given predictions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from cyclip_pl.metrics.base import Shares


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


class ClassHits(Shares):
    """Shares of images by `names`; by `recalls` means over classes of shares of a class's images.

    A class without images is in no mean.
    """

    right_RK: Tensor
    image_K: Tensor

    def __init__(
        self,
        num_classes: int,
        names: Sequence[str] = ("acc1",),
        recalls: Sequence[str] = ("mean_per_class_recall",),
        **kwargs: Any,
    ) -> None:
        super().__init__(names, **kwargs)
        self.num_classes = num_classes
        self.recalls = list(recalls)
        self.add_count("right_RK", len(recalls), num_classes)
        self.add_count("image_K", num_classes)

    def count_classes(
        self, hit_NX: Tensor, label_N: Tensor, right_NR: Tensor | None = None
    ) -> None:
        """Add images: which shares, and which other recalls, each counts for, bool; its class."""
        if len(label_N) and not 0 <= label_N.min() <= label_N.max() < self.num_classes:
            raise ValueError(
                f"labels {label_N.min()} to {label_N.max()}: must be from 0 to "
                f"{self.num_classes - 1}, the metric's classes"
            )
        self.count(hit_NX)
        right_NR = hit_NX if right_NR is None else right_NR
        self.right_RK = self.right_RK.index_add(1, label_N, right_NR.T.long())
        self.image_K = self.image_K + torch.bincount(label_N, minlength=self.num_classes)

    def per_class(self) -> Tensor:
        """The share of each class's images, float64, on the CPU; nan for a class without images."""
        return self.right_RK.cpu().double() / self.image_K.cpu()

    def compute(self) -> dict[str, Tensor]:
        has_images_K = self.image_K.cpu() > 0
        for_each = zip(self.recalls, self.per_class(), strict=True)
        means = {name: share_K[has_images_K].mean() for name, share_K in for_each}
        return {**super().compute(), **self.scalars(means)}


class TopKAccuracy(ClassHits):
    """Share of images whose true class is among the k best scores, and the mean recall per class.

    `acc<k>` is that share for each k of `top_k` up to K. `mean_per_class_recall` is the mean, over
    the classes that have images, of the share of each class's images at k = 1. For ties and scores
    that are not finite see `rank_of_label`: classes of one name that share a score count for the
    first of them.

    torchmetrics' `MulticlassAccuracy` agrees where both apply, but leaves the order of equal scores
    to `torch.topk`, and counts a class without images as 0 once an image is mistaken for it.

        accuracy = TopKAccuracy(num_classes=1000)
        accuracy.update(image_ND @ class_KD.T, label_N)
        self.log_dict(accuracy.compute())
    """

    def __init__(self, num_classes: int, top_k: Sequence[int] = (1, 3, 5), **kwargs: Any) -> None:
        self.top_k = tuple(k for k in top_k if k <= num_classes)
        super().__init__(num_classes, [f"acc{k}" for k in self.top_k], **kwargs)

    def update(self, score_NK: Tensor, label_N: Tensor) -> None:
        """Add images: scores, (N, K), and true classes, int64, (N,)."""
        rank_N1 = rank_of_label(score_NK, label_N)[:, None]
        self.count_classes(rank_N1 < rank_N1.new_tensor(self.top_k), label_N, rank_N1 == 0)


class PerClassAccuracy(ClassHits):
    """Share of each class's images that score the class highest; nan for a class without images.

    Ties and scores that are not finite as in `TopKAccuracy`.

        accuracy = PerClassAccuracy(num_classes=10)
        accuracy.update(score_NK, label_N)
        accuracy_K = accuracy.compute()
    """

    plot_legend_name = "Class"

    def update(self, score_NK: Tensor, label_N: Tensor) -> None:
        """Add images: scores, (N, K), and true classes, int64, (N,)."""
        self.count_classes(rank_of_label(score_NK, label_N)[:, None] == 0, label_N)

    def compute(self) -> Tensor:  # type: ignore[override]
        """float64, (K,)."""
        return self.per_class()[0].to(self.scalar(math.nan))


class PredictionAccuracy(ClassHits):
    """Share of predictions that are right, and its mean over classes.

    `acc1` and `mean_per_class_recall`, as in `TopKAccuracy`. A prediction of -1 is for no class.

        accuracy = PredictionAccuracy(num_classes=10)
        accuracy.update(probe(feature_NF).argmax(1), label_N)
        self.log_dict(accuracy.compute())
    """

    def update(self, prediction_N: Tensor, label_N: Tensor) -> None:
        """Add images: predicted and true classes, int64, (N,)."""
        self.count_classes((prediction_N == label_N)[:, None], label_N)
