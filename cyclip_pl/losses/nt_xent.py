"""NT-Xent between two views of the same images (SimCLR, arXiv 2002.05709, eq. 1)."""

from __future__ import annotations

import torch
from torch import Tensor

from cyclip_pl.losses.kernels.negatives import Form, negatives_within
from cyclip_pl.losses.kernels.pairs import check_pair, pair_loss
from cyclip_pl.losses.kernels.precision import full_precision


@full_precision
def nt_xent_loss(
    first: Tensor, second: Tensor, temperature: float, form: Form | None = None
) -> Tensor:
    """The mean over all 2N rows of CE(⟨z_i,z_k⟩/τ over k ≠ i, the other view of i).

    Args:
        first, second: (n, S) unit-norm rows of this rank; row k of both shows the same image.
        temperature: τ.
        form: "dense" holds 2n×2N scores, "tiled" one tile; None chooses the faster by shape.
    """
    check_pair(first, second)
    negatives = negatives_within(torch.stack([first, second]), 1 / temperature, form)
    return pair_loss(first, second, 1 / temperature, negatives)
