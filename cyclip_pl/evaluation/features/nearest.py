"""The nearest training images of test images, and how many there can be."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
from torch import Tensor

from cyclip_pl.distributed import rank
from cyclip_pl.evaluation.features.blocks import EncodedImages
from cyclip_pl.metrics.neighbours import known_labels, nearest_of_blocks

logger = logging.getLogger(__name__)


def within(ks: Sequence[int], rows: int, dataset: str) -> list[int]:
    """The k's that so many training images have; the log says which are left out."""
    if (left_out := [k for k in ks if k > rows]) and rank() == 0:
        numbers = ", ".join(map(str, left_out))
        logger.warning("%s: k=%s left out: only %d training images", dataset, numbers, rows)
    return [k for k in ks if k <= rows]


def labels_of_nearest(
    test_nD: Tensor, train: EncodedImages, train_mD: Tensor, k: int, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Cosines, labels and places of the k training images nearest to this rank's test images.

    Each is (n, k); places are among all of `train`'s decodable images. The training images of all
    ranks pass by, a block at a time. A neighbour whose cosine is not finite has label -1. All ranks
    enter together.

    Args:
        test_nD: Rows of this rank's test images.
        train_mD: Rows of `train`'s images of this rank.
        device: Where to search.
    """
    passing = train.passing_by(train_mD)
    cosine_nk, number_nk = nearest_of_blocks(test_nD, passing, k, device)
    label_M = train.whole(train.rows.label_n)
    return cosine_nk, known_labels(cosine_nk, number_nk, label_M.to(device)), number_nk
