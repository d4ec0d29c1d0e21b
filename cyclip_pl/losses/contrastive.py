"""Symmetric InfoNCE over the global batch (CLIP; CyCLIP eq. 1)."""

from __future__ import annotations

from torch import Tensor

from cyclip_pl.distributed import sum_over_ranks, world_size
from cyclip_pl.losses.info_nce import check_pair, query_losses
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
    both = query_losses(image, text, scale) + query_losses(text, image, scale)
    return sum_over_ranks(both) / (2 * len(image) * world_size())
