"""CyCLIP's two consistency losses as metrics of a whole set.

Shape legend: N pairs, D width.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from cyclip_pl.metrics.base import ExactSums, as_double, check_width


def pair_products(image_ND: Tensor, text_ND: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """SᵀS, EᵀE and EᵀS of S = I + T and E = I - T, float64, (D, D) each: sums over the pairs.

    With G = S Eᵀ, <I_j,I_k> - <T_j,T_k> = (G_jk + G_kj) / 2 and <I_j,T_k> - <I_k,T_j> =
    (G_kj - G_jk) / 2, while |G|² = <SᵀS, EᵀE> and <G, Gᵀ> = <EᵀS, (EᵀS)ᵀ>. E vanishes as the
    modalities align: nothing is then a small difference of large numbers.
    """
    image_ND, text_ND = as_double(image_ND), as_double(text_ND)
    both_ND, apart_ND = image_ND + text_ND, image_ND - text_ND
    return both_ND.T @ both_ND, apart_ND.T @ apart_ND, apart_ND.T @ both_ND


class Inconsistency(ExactSums):
    """(1/N) sum_jk (<I_j,I_k> - <T_j,T_k>)² and (1/N) sum_jk (<I_j,T_k> - <I_k,T_j>)².

    CyCLIP's losses (arXiv 2205.14459, eq. 2 and 3) of all pairs as one batch, as
    `in_modal_inconsistency` and `cross_modal_inconsistency`. As in the loss the double sum is
    divided by N once: values of different N do not compare. nan if a row is not finite.

        inconsistency = Inconsistency(width=512)
        inconsistency.update(image_ND, text_ND)
        self.log_dict(inconsistency.compute())
    """

    higher_is_better = False

    def __init__(self, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.width = width
        for name in ("both", "apart", "mixed"):
            self.add_sum(name, width, width)

    def update(self, image_ND: Tensor, text_ND: Tensor) -> None:
        """Add pairs of images and texts, (N, D) each."""
        check_width(self.width, image=image_ND, text=text_ND)
        products = pair_products(image_ND, text_ND)
        for name, product_DD in zip(("both", "apart", "mixed"), products, strict=True):
            self.add(name, product_DD)
        self.count = self.count + len(image_ND)

    def compute(self) -> dict[str, Tensor]:
        """Both values by name, float64."""
        mixed_DD = self.total("mixed")
        square = (self.total("both") * self.total("apart")).sum()
        crossed = (mixed_DD * mixed_DD.T).sum()
        return self.scalars(
            {
                "in_modal_inconsistency": ((square + crossed) / (2 * self.count)).item(),
                "cross_modal_inconsistency": ((square - crossed) / (2 * self.count)).item(),
            }
        )
