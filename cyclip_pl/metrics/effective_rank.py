"""How many directions of the space the rows use."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from cyclip_pl.metrics.base import RowSums

_CUT = 1e-13  # of the largest eigenvalue; below it there is only rounding


class EffectiveRank(RowSums):
    """exp of the entropy of the normalised singular values (Roy and Vetterli, EUSIPCO 2007).

    Between 1 and min(N, D); the rows are not centred. It is computed from XᵀX of the rows X.
    Against the singular values of X itself, the relative error is below 1e-9 where all are above
    1e-4 of the largest, and below 1e-6 above 1e-6. Those below 3e-7 of the largest, which XᵀX does
    not show in float64, count as 0: that costs at most 5e-6 each, and leaves out the rounding of
    float32 rows.

        rank = EffectiveRank(width=512)
        rank.update(image_ND)
        self.log("val/image_effective_rank", rank)
    """

    higher_is_better = True
    sums = {"gram": 2}

    def update(self, row_ND: Tensor) -> None:
        """Add rows, (N, D)."""
        (row_ND,) = self.doubles(rows=row_ND)
        self.add("gram", row_ND.T @ row_ND, len(row_ND))

    def compute(self) -> Tensor:
        gram_DD, rows = self.total("gram"), self.count("gram")
        if not rows or not gram_DD.isfinite().all():
            return self.scalar(math.nan)  # LAPACK refuses them
        square_D = torch.linalg.eigvalsh(gram_DD).flip(0)[:rows]
        singular_D = square_D.where(square_D > _CUT * square_D[0], 0.0).sqrt()
        return self.scalar(torch.special.entr(singular_D / singular_D.sum()).sum().exp())
