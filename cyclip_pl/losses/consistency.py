"""CyCLIP's cyclic consistency (arXiv 2205.14459, eq. 2 and 3), in two exact forms.

in-modal    (1/N) Σ_jk (⟨I_j,I_k⟩ − ⟨T_j,T_k⟩)²
cross-modal (1/N) Σ_jk (⟨I_j,T_k⟩ − ⟨I_k,T_j⟩)²

Let S = I + T and E = I − T, rows of (N, D), and G = S·Eᵀ. Then
⟨I_j,I_k⟩ − ⟨T_j,T_k⟩ = ½(G_jk + G_kj) and ⟨I_j,T_k⟩ − ⟨I_k,T_j⟩ = ½(G_kj − G_jk), so

in-modal = (‖G‖² + ⟨G,Gᵀ⟩) / 2N        cross-modal = (‖G‖² − ⟨G,Gᵀ⟩) / 2N.

The direct form computes G, one N×N product where the definition has three. The Gram form needs no
N×N matrix: with P = SᵀS, Q = EᵀE and R = EᵀS, each D×D and a sum over samples,
‖G‖² = ⟨P,Q⟩ and ⟨G,Gᵀ⟩ = ⟨R,Rᵀ⟩.

Both forms keep their digits as the modalities align, because E itself vanishes. Differences of IᵀI
and TᵀT, or of similarity matrices, would then be small differences of large numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Literal

import torch
from torch import Tensor

from cyclip_pl import checks
from cyclip_pl.distributed import gather, sum_over_ranks, world_size
from cyclip_pl.losses.kernels.direct import Direct
from cyclip_pl.losses.kernels.gram import Gram
from cyclip_pl.losses.kernels.pairs import check_pair
from cyclip_pl.losses.kernels.precision import full_precision

Form = Literal["gram", "direct"]


def consistency_terms(
    image: Tensor, text: Tensor, form: Form | None = None
) -> tuple[Tensor, Tensor]:
    """Both terms, unweighted, from products computed once.

    Args:
        image, text: (n, D) unit-norm rows of this rank.
        form: "gram" costs 7·n·D² multiplications with its gradient, O(D²) memory and a sum of 3·D²
            numbers over the ranks. "direct" costs 3·n·N·D and O(n·N) memory. None chooses the
            faster by shape.

    Returns:
        (in-modal, cross-modal).
    """
    square, crossed, rows = _parts(image, text, form)
    return (square + crossed) / (2 * rows), (square - crossed) / (2 * rows)


def consistency_penalty(
    image: Tensor,
    text: Tensor,
    in_modal_weight: float,
    cross_modal_weight: float,
    form: Form | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """The weighted sum of both terms for training, and both terms unweighted for logging.

    At equal weights, as in the published model, ⟨G,Gᵀ⟩ cancels. The gradient of the Gram form then
    costs two products n·D² instead of four.

    Args:
        image, text, form: See `consistency_terms`.
        in_modal_weight, cross_modal_weight: λ1, λ2.

    Returns:
        (λ1·in-modal + λ2·cross-modal, in-modal, cross-modal), the last two without gradient.
    """
    square, crossed, rows = _parts(image, text, form)
    weighted = [
        weight / (2 * rows) * part
        for weight, part in (
            (in_modal_weight + cross_modal_weight, square),
            (in_modal_weight - cross_modal_weight, crossed),
        )
        if weight  # a part of weight 0 costs nothing in the backward pass
    ]
    penalty = reduce(torch.add, weighted) if weighted else square.new_zeros(())
    square, crossed = square.detach(), crossed.detach()
    return penalty, (square + crossed) / (2 * rows), (square - crossed) / (2 * rows)


def in_modal_consistency(image: Tensor, text: Tensor, form: Form | None = None) -> Tensor:
    """(1/N) Σ_jk (⟨I_j,I_k⟩ − ⟨T_j,T_k⟩)² alone; arguments of `consistency_terms`."""
    return consistency_terms(image, text, form)[0]


def cross_modal_consistency(image: Tensor, text: Tensor, form: Form | None = None) -> Tensor:
    """(1/N) Σ_jk (⟨I_j,T_k⟩ − ⟨I_k,T_j⟩)² alone; arguments of `consistency_terms`."""
    return consistency_terms(image, text, form)[1]


@full_precision
def _parts(image: Tensor, text: Tensor, form: Form | None) -> tuple[Tensor, Tensor, int]:
    """‖G‖², ⟨G,Gᵀ⟩ and N."""
    check_pair(image, text)
    rows = image.shape[0] * world_size()
    return *_FORMS[_choose(form, rows, image.shape[1])](image, text), rows


def _choose(form: Form | None, rows: int, width: int) -> Form:
    if form is None:
        # On a CPU the times are equal at N = D…1.5·D, depending on the weights (D = 256…1,024).
        return "direct" if 2 * rows < 3 * width else "gram"
    checks.one_of("form", form, _FORMS, optional=True)
    return form


def _direct(image: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
    """‖G‖² and ⟨G,Gᵀ⟩ from G itself; each rank computes its rows of G and of Gᵀ."""
    if world_size() == 1:
        return Direct.apply(image, text)
    total, error = image + text, image - text
    g, g_T = total @ gather(error).T, error @ gather(total).T
    square, crossed = sum_over_ranks(torch.stack([g.square().sum(), (g * g_T).sum()]))
    return square, crossed


_FORMS: dict[str, Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]] = {
    "gram": Gram.apply,
    "direct": _direct,
}
