"""Accuracy within the top k, overall and per class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

_SCORES = 1 << 24  # held at once: 64 MiB


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


def chunks(rows: int, columns: int) -> Iterator[slice]:
    """Slices of the rows, so that a slice's scores stay within a bound."""
    size = max(1, _SCORES // columns)
    for start in range(0, rows, size):
        yield slice(start, start + size)


def per_class(rank_N: Tensor, label_N: Tensor, classes: int, k: int = 1) -> tuple[Tensor, Tensor]:
    """Images and hits within the top k of each class: int64, (K,) and (K,)."""
    image_K = torch.bincount(label_N, minlength=classes)
    return image_K, torch.bincount(label_N[rank_N < k], minlength=classes)


def accuracy_figures(
    rank_N: Tensor, label_N: Tensor, classes: int, top_k: Sequence[int]
) -> dict[str, float]:
    """`top<k>` for each k and `macro_recall`, fractions.

    `macro_recall` is the mean of the recalls of the classes that have images. torchmetrics'
    `MulticlassAccuracy` agrees where both apply (a test compares them), but it leaves equal scores
    to `torch.topk`, and its macro average counts a class without images as 0 as soon as one image
    is mistaken for it.
    """
    image_K, hit_K = per_class(rank_N, label_N, classes)
    seen = image_K > 0
    figures = {f"top{k}": (rank_N < k).double().mean().item() for k in top_k}
    figures["macro_recall"] = (hit_K[seen].double() / image_K[seen]).mean().item()
    return figures
