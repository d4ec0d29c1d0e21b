"""SigLIP's pairwise sigmoid loss (Zhai et al., arXiv 2303.15343, eq. 1)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from cyclip_pl.distributed import from_next_rank, sum_over_ranks, world_size
from cyclip_pl.losses.kernels.negatives import Form, choose, scalar
from cyclip_pl.losses.kernels.pairs import check_pair
from cyclip_pl.losses.kernels.precision import full_precision
from cyclip_pl.losses.kernels.tiled_sigmoid import SigmoidNegatives


@full_precision
def sigmoid_loss(
    image: Tensor,
    text: Tensor,
    scale: Tensor | float,
    bias: Tensor | float,
    form: Form | None = None,
) -> Tensor:
    """−(1/N) Σ_jk log σ(z_jk·(s·⟨I_j,T_k⟩ + b)), z_jk = 1 for j = k and −1 elsewhere.

    A sum over pairs never needs a whole row of scores. So the texts of the ranks go round a ring,
    one block at a time, and nothing is gathered.

    Args:
        image, text: (n, D) unit-norm rows of this rank; row k of both is one pair.
        scale: s, the multiplier, not its logarithm.
        bias: b, added to each score.
        form: "dense" holds a block of n×n scores per rank, "tiled" one tile; None chooses the
            faster by shape.
    """
    check_pair(image, text)
    positives = -logsigmoid(scale * (image * text).sum(-1) + bias).sum()
    if choose(form, image[None], text[None]) == "tiled":
        scalars = scalar(scale, image), scalar(bias, image)
        wanted = torch.is_grad_enabled() and any(x.requires_grad for x in (image, text, *scalars))
        negatives = SigmoidNegatives.apply(image, text, *scalars, wanted)
    else:
        negatives = sum_over_ranks(_dense(image, text, scale, bias))
    return (sum_over_ranks(positives) + negatives) / (len(image) * world_size())


def _dense(image: Tensor, text: Tensor, scale: Tensor | float, bias: Tensor | float) -> Tensor:
    """This rank's Σ softplus(s·⟨I_j,T_k⟩ + b) over j ≠ k, from n×n scores per rank."""
    scores = (scale * image @ text.T + bias).fill_diagonal_(-torch.inf)
    total = -logsigmoid(-scores).sum()
    for _ in range(world_size() - 1):
        text = from_next_rank(text)
        total = total - logsigmoid(-(scale * image @ text.T + bias)).sum()
    return total
