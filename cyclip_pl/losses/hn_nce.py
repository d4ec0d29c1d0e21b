"""HN-NCE: InfoNCE in which harder negatives weigh more (arXiv 2301.02280, eq. 3)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from cyclip_pl.distributed import world_size
from cyclip_pl.losses.kernels.negatives import Form, negative_scores, negatives_both_ways
from cyclip_pl.losses.kernels.pairs import check_pair, mean_over_ranks
from cyclip_pl.losses.kernels.precision import full_precision


@full_precision
def hard_negative_loss(
    image: Tensor,
    text: Tensor,
    scale: Tensor | float,
    alpha: float = 1.0,
    beta: float = 0.25,
    top_k: int | None = None,
    form: Form | None = None,
) -> Tensor:
    """The mean over both directions of −log[e^{s_jj} / (α·e^{s_jj} + Σ_{k∈H} w_jk·e^{s_jk})].

    s_jk is the score s·⟨I_j,T_k⟩ and H(j) the negatives of j. The weights are
    w_jk = |H|·e^{β s_jk} / Σ_{l∈H} e^{β s_jl}, whose mean is one. With α = 1, β = 0 and all
    negatives this is the contrastive loss. The gradient goes through the weights, as in the paper.

    Args:
        image, text: (n, D) unit-norm rows of this rank; row k of both is one pair.
        scale: s, the multiplier, not its logarithm.
        alpha: α, the share of the positive in the denominator.
        beta: β, how much more the harder negatives weigh.
        top_k: Number of the hardest negatives per row that count; None or too many: all.
        form: "dense" holds n×N scores, "tiled" one tile; None chooses the faster by shape. `top_k`
            needs whole rows and is always dense.

    Raises:
        ValueError: A global batch of one sample, which has no negatives.
    """
    check_pair(image, text)
    samples = len(image) * world_size()
    if samples < 2:
        raise ValueError("a batch of one sample has no negatives")
    negatives = math.log(min(top_k or samples, samples - 1)) + (
        _weighted(image[None], text[None], scale, beta, form)
        if top_k is None
        else _hardest(image[None], text[None], scale, beta, top_k)
    )
    # Over the positive e^{s_jj}, the denominator is α + Σ_k w_jk·e^{s_jk − s_jj}.
    excess = negatives - scale * (image * text).sum(-1)
    positive = excess.new_full((), math.log(alpha) if alpha else -math.inf)
    return mean_over_ranks(torch.logaddexp(positive, excess))


def _weighted(
    image: Tensor, text: Tensor, scale: Tensor | float, beta: float, form: Form | None
) -> Tensor:
    """log[Σ_k e^{(1+β) s_jk} / Σ_l e^{β s_jl}] over all negatives, by image and by text, (2, n)."""
    harder = negatives_both_ways(image, text, (1 + beta) * scale, form)
    level = negatives_both_ways(image, text, beta * scale, form)
    return torch.cat(harder) - torch.cat(level)


def _hardest(image: Tensor, text: Tensor, scale: Tensor | float, beta: float, top_k: int) -> Tensor:
    """The same over the `top_k` hardest only."""
    both = []
    for x, y in ((image, text), (text, image)):
        scores = negative_scores(x, y, scale)[0, :, 0]
        # Without the positive, whose score is −∞.
        hardest = scores.topk(min(top_k, scores.shape[1] - 1), dim=1).values
        both.append(((1 + beta) * hardest).logsumexp(1) - (beta * hardest).logsumexp(1))
    return torch.stack(both)
