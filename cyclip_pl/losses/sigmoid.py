"""SigLIP's pairwise sigmoid loss (Zhai et al., arXiv 2303.15343, eq. 1)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from cyclip_pl.distributed import from_next_rank, sum_over_ranks, world_size
from cyclip_pl.losses.info_nce import check_pair
from cyclip_pl.losses.precision import full_precision


@full_precision
def sigmoid_loss(
    image: Tensor, text: Tensor, scale: Tensor | float, bias: Tensor | float
) -> Tensor:
    """−(1/N) Σ_jk log σ(z_jk·(s·⟨I_j,T_k⟩ + b)), z_jk = 1 for j = k and −1 elsewhere.

    A sum over pairs needs no row of scores whole: the ranks' texts go round, a block at a time, and
    nothing is gathered.

    Args:
        image: (n, D) unit-norm rows of this rank, n equal on all ranks.
        text: (n, D) likewise; row k belongs to image row k.
        scale: s, the multiplier (not its logarithm).
        bias: b, added to every score.

    Returns:
        The global loss, a scalar, equal on every rank.

    Raises:
        ValueError: the shapes differ or are not two-dimensional.
    """
    check_pair(image, text)
    signs = 2 * torch.eye(len(image), device=image.device) - 1
    total = -logsigmoid(signs * (scale * image @ text.T + bias)).sum()
    for _ in range(world_size() - 1):
        text = from_next_rank(text)
        total = total - logsigmoid(-(scale * image @ text.T + bias)).sum()
    return sum_over_ranks(total) / (len(image) * world_size())
