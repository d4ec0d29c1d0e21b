"""Consistency score: do the zero-shot prediction and the image's neighbours agree?"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from cyclip_pl.evaluation.neighbours import labels_of_nearest, majority


def consistency_scores(
    test_ND: Tensor,
    prediction_N: Tensor,
    train_MD: Tensor,
    train_label_M: Tensor,
    ks: Sequence[int] = (1, 3, 5, 10, 30),
    device: torch.device | str | None = None,
) -> dict[int, float]:
    """Share of test images whose prediction is the majority label of their k nearest (CyCLIP).

    Neighbours are labelled training *images*, by cosine; a tie among labels drops the farthest
    neighbour until one is the most frequent (arXiv 2205.14459). The order of equal
    cosines and the memory are those of `neighbours.nearest`.

    Args:
        test_ND: Image embeddings, (N, D).
        prediction_N: Their zero-shot classes, int64.
        train_MD: Embeddings of the labelled training images, (M, D).
        train_label_M: Their classes, int64, numbered as the predictions are.
        ks: Each at most M.
        device: Where to search; that of the test images if None.

    Returns:
        k -> share in [0, 1]. An image or neighbour that is not finite agrees with nothing.

    Raises:
        ValueError: There is no k, or one is less than 1 or more than M.
    """
    if not ks or min(ks) < 1 or max(ks) > len(train_MD):
        raise ValueError(f"consistency needs 1 <= k <= {len(train_MD)} training images: {ks}")
    _, label_Nk = labels_of_nearest(test_ND, train_MD, train_label_M, max(ks), device)
    winner_Nk = majority(label_Nk)
    agree_Nk = (winner_Nk == prediction_N.to(winner_Nk.device)[:, None]) & (winner_Nk >= 0)
    return {k: agree_Nk[:, k - 1].double().mean().item() for k in ks}
