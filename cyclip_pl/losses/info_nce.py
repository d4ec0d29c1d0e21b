"""InfoNCE in one direction over the global batch (van den Oord et al., arXiv 1807.03748)."""

from __future__ import annotations

from torch import Tensor

from cyclip_pl.losses.kernels.negatives import Form, negatives_one_way
from cyclip_pl.losses.kernels.pairs import check_pair, pair_loss
from cyclip_pl.losses.kernels.precision import full_precision


@full_precision
def info_nce(
    query: Tensor,
    key: Tensor,
    scale: Tensor | float,
    form: Form | None = None,
    caption_ids: Tensor | None = None,
) -> Tensor:
    """CE(s·Q·Kᵀ, diag), the mean over the N samples of all ranks.

    Args:
        query, key: (n, D) unit-norm rows of this rank; row k of both is one pair.
        scale: s, the multiplier, not its logarithm.
        form: "dense" holds n×N scores, "tiled" one tile; None chooses the faster by shape.
        caption_ids: (1, n); samples with equal numbers are not each other's negatives. Always
            dense.
    """
    check_pair(query, key)
    negatives = negatives_one_way(query[None], key[None], scale, form, caption_ids)
    return pair_loss(query, key, scale, negatives)
