"""HN-NCE: InfoNCE whose harder negatives weigh more (Radenovic et al., arXiv 2301.02280, eq. 3)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from cyclip_pl.distributed import gather, rank, sum_over_ranks, world_size
from cyclip_pl.losses.info_nce import check_pair
from cyclip_pl.losses.precision import full_precision


@full_precision
def hard_negative_loss(
    image: Tensor,
    text: Tensor,
    scale: Tensor | float,
    alpha: float = 1.0,
    beta: float = 0.25,
    top_k: int | None = None,
) -> Tensor:
    """Both directions' mean of −log[e^{s_jj} / (α·e^{s_jj} + Σ_{k∈H} w_jk·e^{s_jk})].

    s_jk is the score s·⟨I_j,T_k⟩, H(j) the negatives of j, and w_jk = |H|·e^{β s_jk} / Σ_{l∈H} e^{β
    s_jl}, whose mean is one. α = 1 and β = 0 with all negatives is the contrastive loss. The
    gradient goes through the weights, as in the paper.

    Args:
        image: (n, D) unit-norm rows of this rank, n equal on all ranks.
        text: (n, D) likewise; row k belongs to image row k.
        scale: s, the multiplier (not its logarithm).
        alpha: share of the positive in the denominator.
        beta: how much more the harder negatives weigh.
        top_k: only so many of a row's negatives, the hardest; None (or more than there are): all.

    Returns:
        The global loss, a scalar, equal on every rank.

    Raises:
        ValueError: shapes that differ, or a global batch of one, which has no negatives.
    """
    check_pair(image, text)
    if len(image) * world_size() < 2:
        raise ValueError("a batch of one sample has no negatives")
    both = _rows(scale * image @ gather(text).T, alpha, beta, top_k) + _rows(
        scale * text @ gather(image).T, alpha, beta, top_k
    )
    return sum_over_ranks(both) / (2 * len(image) * world_size())


def _rows(scores: Tensor, alpha: float, beta: float, top_k: int | None) -> Tensor:
    """The sum over this rank's rows of (n, N) scores."""
    n, samples = scores.shape
    own = torch.arange(n, device=scores.device) + rank() * n
    positive = scores.gather(1, own[:, None])
    negatives = scores.scatter(1, own[:, None], -torch.inf)
    count = min(top_k or samples, samples - 1)
    # Without the one that is no negative.
    negatives = negatives.topk(count, dim=1).values
    weighted = math.log(count) + (
        torch.logsumexp((1 + beta) * negatives, 1) - torch.logsumexp(beta * negatives, 1)
    )
    denominator = torch.logaddexp(math.log(alpha) + positive.squeeze(1), weighted)
    return (denominator - positive.squeeze(1)).sum()
