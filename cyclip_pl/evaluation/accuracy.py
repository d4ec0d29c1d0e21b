"""Accuracy within the top k, counted per class."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric


def rank_of_label(score_NK: Tensor, label_N: Tensor) -> Tensor:
    """Where the true class stands among its row's scores, 0 the best: int64, (N,).

    Of equal scores the lower class number comes first, as in a stable sort, whatever the device
    and the batch. A row with a score that is not finite puts its class last, at K: a diverged
    model must not score.
    """
    classes = score_NK.shape[1]
    true_N1 = score_NK.gather(1, label_N[:, None])
    earlier_NK = torch.arange(classes, device=score_NK.device) < label_N[:, None]
    ahead_NK = (score_NK > true_N1) | ((score_NK == true_N1) & earlier_NK)
    return torch.where(score_NK.isfinite().all(1), ahead_NK.sum(1), classes)


class ClassAccuracy(Metric):
    """Images and hits of each class, in whole numbers.

    Sums over batches and ranks are therefore exact, and K numbers a figure are all that is kept.
    torchmetrics' own `MulticlassAccuracy` agrees where both apply (a test compares them), but it
    leaves equal scores to `torch.topk`, holds K x K counts, and its macro average counts a class
    without images as 0 as soon as one image is mistaken for it.

    Args:
        classes: K.
        top_k: The k's; each at most K.
    """

    full_state_update = False
    image_K: Tensor
    hit_TK: Tensor

    def __init__(self, classes: int, top_k: Sequence[int]) -> None:
        super().__init__()
        assert all(1 <= k <= classes for k in top_k)
        self.classes = classes
        self.top_k = tuple(dict.fromkeys((1, *top_k)))
        self.shown = tuple(top_k)
        counts = torch.zeros(len(self.top_k), classes, dtype=torch.int64)
        self.add_state("image_K", counts[0].clone(), dist_reduce_fx="sum")
        self.add_state("hit_TK", counts, dist_reduce_fx="sum")

    def update(self, score_NK: Tensor, label_N: Tensor) -> None:
        """Count scores (N, K) against true classes, int64 (N,)."""
        rank_N = rank_of_label(score_NK, label_N)
        self.image_K += torch.bincount(label_N, minlength=self.classes)
        for row, k in enumerate(self.top_k):
            self.hit_TK[row] += torch.bincount(label_N[rank_N < k], minlength=self.classes)

    def compute(self) -> dict[str, Tensor]:
        """`top<k>` for each k, `macro_recall` (float64, fractions), and `samples` (int64).

        `macro_recall` is the mean of the recalls of the classes that have images. Without any
        image at all the fractions are nan.
        """
        image_K, hit_TK = self.image_K.cpu(), self.hit_TK.cpu()
        samples = image_K.sum()
        seen = image_K > 0
        figures = {
            f"top{k}": hit_TK[self.top_k.index(k)].sum().double() / samples for k in self.shown
        }
        figures["macro_recall"] = (hit_TK[0][seen].double() / image_K[seen]).mean()
        figures["samples"] = samples
        return figures
