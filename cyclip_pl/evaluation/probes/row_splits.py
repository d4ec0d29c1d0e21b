"""Seeded subsets of labelled rows: few shots, and a validation part."""

from __future__ import annotations

import torch
from torch import Tensor


def few_shot(label_N: Tensor, shots: int, seed: int) -> Tensor:
    """Row numbers of `shots` examples of each class, ascending: int64.

    A class with fewer gives all that it has. Drawn by the seed, each class for itself; of one seed
    the smaller subset is part of the larger (the few-shot protocol of ELEVATER, arXiv 2204.08790).
    """
    assert shots >= 1
    order_N, place_N = _shuffled_within_classes(label_N, seed)
    return order_N[place_N < shots].sort().values


def hold_out(label_N: Tensor, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Row numbers to fit on and to validate on, ascending: int64, together all rows, each once.

    Of a class's n >= 2 examples round(share * n), but 1 at least and n - 1 at most, validate; a
    single one is fitted on. Drawn by the seed.

    Raises:
        ValueError: No class has two examples.
    """
    assert 0 < share < 1
    order_N, place_N = _shuffled_within_classes(label_N, seed)
    _, class_N, images_K = label_N.unique(return_inverse=True, return_counts=True)
    if images_K.max() < 2:
        raise ValueError("no class has two examples: none can be held out to choose a setting by")
    held_K = (share * images_K).round().long().clamp(min=1).minimum(images_K - 1)
    held_N = place_N < held_K[class_N[order_N]]
    return order_N[~held_N].sort().values, order_N[held_N].sort().values


def _shuffled_within_classes(label_N: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Row numbers in a random order, grouped by class, and the place of each in its group."""
    label_N = label_N.cpu()
    shuffled_N = torch.randperm(len(label_N), generator=torch.Generator().manual_seed(seed))
    order_N = shuffled_N[label_N[shuffled_N].argsort(stable=True)]
    _, images_K = label_N.unique(return_counts=True)
    first_K = images_K.cumsum(0) - images_K
    return order_N, torch.arange(len(label_N)) - first_K.repeat_interleave(images_K)
