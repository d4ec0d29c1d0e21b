"""NT-Xent between two views of the same images (SimCLR, arXiv 2002.05709, eq. 1)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from cyclip_pl.distributed import gather, rank, sum_over_ranks, world_size
from cyclip_pl.losses.info_nce import check_pair
from cyclip_pl.losses.precision import full_precision


@full_precision
def nt_xent_loss(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """The mean over all 2N rows of CE(⟨z_i,z_k⟩/τ over k ≠ i, the other view of i).

    Args:
        first: (n, S) unit-norm rows of this rank, n equal on all ranks.
        second: (n, S) likewise; row k shows the same image as row k of `first`.
        temperature: τ.

    Returns:
        The global loss, a scalar, equal on every rank.

    Raises:
        ValueError: the shapes differ or are not two-dimensional.
    """
    check_pair(first, second)
    n, samples = len(first), len(first) * world_size()
    keys = torch.cat([gather(first), gather(second)])
    itself = torch.arange(n, device=first.device) + rank() * n
    total = first.new_zeros(())
    for rows, own in ((first, itself), (second, itself + samples)):
        scores = (rows @ keys.T / temperature).scatter(1, own[:, None], -torch.inf)
        total = total + cross_entropy(scores, (own + samples) % (2 * samples), reduction="sum")
    return sum_over_ranks(total) / (2 * samples)
