"""InfoNCE in one direction over the global batch (van den Oord et al., arXiv 1807.03748)."""

from __future__ import annotations

from torch import Tensor

from cyclip_pl.distributed import sum_over_ranks, world_size
from cyclip_pl.losses.kernels.negatives import Form, negatives_one_way
from cyclip_pl.losses.kernels.pairs import check_pair, pair_losses
from cyclip_pl.losses.kernels.precision import full_precision


@full_precision
def info_nce(query: Tensor, key: Tensor, scale: Tensor | float, form: Form | None = None) -> Tensor:
    """CE(s·Q·Kᵀ, diag), the mean over the N samples of all ranks.

    Args:
        query: (n, D) unit-norm rows of this rank, n equal on all ranks.
        key: (n, D) likewise; row k belongs to query row k.
        scale: s, the multiplier, not its logarithm.
        form: "dense" holds n×N scores, "tiled" one tile; None chooses the faster by shape.

    Returns:
        The global loss, a scalar, equal on every rank.

    Raises:
        ValueError: An unknown form, or shapes that differ or are not two-dimensional.
    """
    check_pair(query, key)
    negatives = negatives_one_way(query[None], key[None], scale, form)
    losses = pair_losses(query, key, scale, negatives)
    return sum_over_ranks(losses.sum()) / (len(query) * world_size())
