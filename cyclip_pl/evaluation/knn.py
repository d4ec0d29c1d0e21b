"""k-nearest-neighbours probe: classes of test images from those of the nearest training images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from cyclip_pl.evaluation.neighbours import labels_of_nearest, majority

_ROWS = 256  # of the k x k comparisons held at once


def knn_predictions(
    test_ND: Tensor,
    train_MD: Tensor,
    train_label_M: Tensor,
    ks: Sequence[int] = (10, 20, 100, 200),
    temperature: float | None = 0.07,
    device: torch.device | str | None = None,
) -> dict[int, Tensor]:
    """k -> classes (N,), int64, on the CPU.

    With a temperature T each of the k nearest votes with exp(cosine / T) (Wu et al., arXiv
    1805.01978; DINO, arXiv 2104.14294), the sums in float64, and of equal sums the class of the
    nearest neighbour among them wins. With None each votes once, and a tie drops the farthest
    neighbour until there is none. The order of equal cosines and the memory are those of
    `neighbours.nearest`.

    Args:
        test_ND: (N, D), any float type and length.
        train_MD: (M, D), likewise.
        train_label_M: int64.
        ks: Each at most M.
        temperature: T above 0, or None.
        device: Where to search; that of the test images if None.

    Returns:
        Predictions; -1 where the embedding of an image, or what is nearest to it, is not finite.

    Raises:
        ValueError: There is no k, or one is less than 1 or more than M.
    """
    if not ks or min(ks) < 1 or max(ks) > len(train_MD):
        raise ValueError(f"knn needs 1 <= k <= {len(train_MD)} training images: {ks}")
    cosine_Nk, label_Nk = labels_of_nearest(test_ND, train_MD, train_label_M, max(ks), device)
    if temperature is None:
        winner_Nk = majority(label_Nk).cpu()
        return {k: winner_Nk[:, k - 1] for k in ks}
    assert temperature > 0
    weight_Nk = (cosine_Nk.double() / temperature).exp()
    chunks = list(zip(weight_Nk.split(_ROWS), label_Nk.split(_ROWS), strict=True))
    return {k: torch.cat([_heaviest(w[:, :k], y[:, :k]) for w, y in chunks]).cpu() for k in ks}


def _heaviest(weight_Nk: Tensor, label_Nk: Tensor) -> Tensor:
    """The label of the greatest sum of weights; comparing positions needs no N x classes."""
    same_Nkk = label_Nk[:, :, None] == label_Nk[:, None, :]
    vote_Nk = (weight_Nk[:, None, :] * same_Nkk).sum(2)
    return label_Nk.gather(1, vote_Nk.argmax(1, keepdim=True))[:, 0]
