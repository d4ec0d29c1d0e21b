"""The agreement of two distributions over clusters, and the entropies that prevent collapse.

nCLIP (Zhou et al., arXiv 2210.09304): p = softmax(u/τ) for the image, q = softmax(v/τ) for the
text, each the pseudo-label of the other. The exact form of the terms is *our choice*.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cyclip_pl.distributed import sum_over_ranks, world_size
from cyclip_pl.losses.kernels.pairs import check_pair
from cyclip_pl.losses.kernels.precision import full_precision


@full_precision
def cluster_cross_entropy(log_p: Tensor, log_q: Tensor, stop_gradient: bool = True) -> Tensor:
    """½[CE(p, q) + CE(q, p)], CE(p, q) = −Σ_k p_k log q_k, the mean over the samples of all ranks.

    Args:
        log_p, log_q: (n, K) log-probabilities of this rank.
        stop_gradient: Whether the target, the first argument of CE, gets no gradient.
    """
    check_pair(log_p, log_q)
    p, q = log_p.exp(), log_q.exp()
    if stop_gradient:
        p, q = p.detach(), q.detach()
    total = -(p * log_q + q * log_p).sum()
    return sum_over_ranks(total) / (2 * len(log_p) * world_size())


@full_precision
def mean_entropy(log_p: Tensor) -> Tensor:
    """Mean of H(p) over the samples of all ranks, in nats: low if the assignments are sharp.

    Args:
        log_p: (n, K) log-probabilities of this rank.
    """
    total = -(log_p.exp() * log_p).sum()
    return sum_over_ranks(total) / (len(log_p) * world_size())


@full_precision
def entropy_of_mean(log_p: Tensor) -> Tensor:
    """H(p̄) of the mean p̄ over the samples of all ranks, in nats: high if all clusters are used.

    exp(H(p̄)) is the effective number of clusters. It takes what `mean_entropy` takes.
    """
    mean = sum_over_ranks(log_p.exp().sum(0)) / (len(log_p) * world_size())
    # The slope of the entropy is infinite at zero, which float32 probabilities do reach.
    return torch.special.entr(mean.clamp(min=torch.finfo(mean.dtype).tiny)).sum()
