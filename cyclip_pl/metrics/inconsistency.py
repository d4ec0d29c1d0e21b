"""CyCLIP's two consistency losses as metrics of a whole set."""

from __future__ import annotations

from torch import Tensor

from cyclip_pl.metrics.base import RowSums


class Inconsistency(RowSums):
    """(1/N) sum_jk (<I_j,I_k> - <T_j,T_k>)² and (1/N) sum_jk (<I_j,T_k> - <I_k,T_j>)².

    CyCLIP's losses (arXiv 2205.14459, eq. 2 and 3) of all pairs as one batch, as
    `in_modal_inconsistency` and `cross_modal_inconsistency`. As in the loss the double sum is
    divided by N once: values of different N do not compare.

        inconsistency = Inconsistency(width=512)
        inconsistency.update(image_ND, text_ND)
        self.log_dict(inconsistency.compute())
    """

    higher_is_better = False
    sums = {"both": 2, "apart": 2, "mixed": 2}

    def update(self, image_ND: Tensor, text_ND: Tensor) -> None:
        """Add pairs of images and texts, (N, D) each."""
        image_ND, text_ND = self.doubles(image=image_ND, text=text_ND)
        both_ND, apart_ND = image_ND + text_ND, image_ND - text_ND
        pairs = len(image_ND)
        self.add("both", both_ND.T @ both_ND, pairs)
        self.add("apart", apart_ND.T @ apart_ND, pairs)
        self.add("mixed", apart_ND.T @ both_ND, pairs)

    def compute(self) -> dict[str, Tensor]:
        # With S = I + T, E = I - T and G = S Eᵀ, <I_j,I_k> - <T_j,T_k> = (G_jk + G_kj) / 2 and
        # <I_j,T_k> - <I_k,T_j> = (G_kj - G_jk) / 2, while |G|² = <SᵀS, EᵀE> and
        # <G, Gᵀ> = <EᵀS, (EᵀS)ᵀ>. E vanishes as the modalities align: nothing is then a small
        # difference of large numbers.
        mixed_DD, twice_N = self.total("mixed"), 2 * self.count("mixed")
        square = (self.total("both") * self.total("apart")).sum()
        crossed = (mixed_DD * mixed_DD.T).sum()
        return self.scalars(
            {
                "in_modal_inconsistency": (square + crossed) / twice_N,
                "cross_modal_inconsistency": (square - crossed) / twice_N,
            }
        )
