"""Symmetric InfoNCE over the global batch (CLIP; CyCLIP eq. 1)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from cyclip_pl.distributed import gather, rank, sum_over_ranks, world_size
from cyclip_pl.losses.precision import full_precision


@full_precision
def contrastive_loss(image: Tensor, text: Tensor, scale: Tensor | float) -> Tensor:
    """½[CE(s·I·Tᵀ, diag) + CE(s·T·Iᵀ, diag)], the mean over the N samples of all ranks.

    Each rank scores its own rows against everyone's, so that no rank holds N×N.

    Args:
        image: (n, D) unit-norm rows of this rank, n equal on all ranks.
        text: (n, D) likewise; row k belongs to image row k.
        scale: s, the multiplier (not its logarithm).

    Returns:
        The global loss, a scalar, equal on every rank.

    Raises:
        ValueError: the shapes differ or are not two-dimensional.
    """
    check_pair(image, text)
    n = image.shape[0]
    target = torch.arange(n, device=image.device) + rank() * n
    image_rows = cross_entropy(scale * image @ gather(text).T, target, reduction="sum")
    text_rows = cross_entropy(scale * text @ gather(image).T, target, reduction="sum")
    return sum_over_ranks(image_rows + text_rows) / (2 * n * world_size())


def check_pair(image: Tensor, text: Tensor) -> None:
    """Raise ValueError unless both are (n, D) with the same n and D."""
    if image.ndim != 2 or image.shape != text.shape:
        raise ValueError(
            "image and text embeddings must both be (n, D), "
            f"got {tuple(image.shape)} and {tuple(text.shape)}"
        )
