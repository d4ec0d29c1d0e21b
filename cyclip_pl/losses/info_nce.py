"""InfoNCE in one direction over the global batch (van den Oord et al., arXiv 1807.03748)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from cyclip_pl.distributed import gather, rank, sum_over_ranks, world_size
from cyclip_pl.losses.precision import full_precision


@full_precision
def info_nce(query: Tensor, key: Tensor, scale: Tensor | float) -> Tensor:
    """CE(s·Q·Kᵀ, diag), the mean over the N samples of all ranks.

    Args:
        query: (n, D) unit-norm rows of this rank, n equal on all ranks.
        key: (n, D) likewise; row k belongs to query row k.
        scale: s, the multiplier (not its logarithm).

    Returns:
        The global loss, a scalar, equal on every rank.

    Raises:
        ValueError: the shapes differ or are not two-dimensional.
    """
    check_pair(query, key)
    return sum_over_ranks(query_losses(query, key, scale)) / (len(query) * world_size())


def query_losses(query: Tensor, key: Tensor, scale: Tensor | float) -> Tensor:
    """The sum of this rank's cross-entropies: its own rows against everyone's keys."""
    target = torch.arange(len(query), device=query.device) + rank() * len(query)
    return cross_entropy(scale * query @ gather(key).T, target, reduction="sum")


def check_pair(image: Tensor, text: Tensor) -> None:
    """Raise ValueError unless both are (n, D) with the same n and D."""
    if image.ndim != 2 or image.shape != text.shape:
        raise ValueError(
            "image and text embeddings must both be (n, D), "
            f"got {tuple(image.shape)} and {tuple(text.shape)}"
        )
