"""SigLIP's pairwise sigmoid loss (Zhai et al., arXiv 2303.15343, eq. 1)."""

from __future__ import annotations

from torch import Tensor

from cyclip_pl.losses.kernels.negatives import scalar
from cyclip_pl.losses.kernels.pairs import check_pair, gradients_wanted
from cyclip_pl.losses.kernels.precision import full_precision
from cyclip_pl.losses.kernels.sigmoid_pairs import SigmoidPairs


@full_precision
def sigmoid_loss(
    image: Tensor, text: Tensor, scale: Tensor | float, bias: Tensor | float
) -> Tensor:
    """−(1/N) Σ_jk log σ(z_jk·(s·⟨I_j,T_k⟩ + b)), z_jk = 1 for j = k and −1 elsewhere.

    A sum over pairs never needs a whole row of scores. So the texts of the ranks go round a ring,
    one block at a time, and nothing is gathered; a rank holds one tile of scores.

    Args:
        image, text: (n, D) unit-norm rows of this rank; row k of both is one pair.
        scale: s, the multiplier, not its logarithm.
        bias: b, added to each score.
    """
    check_pair(image, text)
    leaves = image, text, scalar(scale, image), scalar(bias, image)
    return SigmoidPairs.apply(*leaves, gradients_wanted(*leaves))
