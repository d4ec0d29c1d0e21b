"""SigLIP with in-modal and cross-modal consistency."""

from __future__ import annotations

from torch import Tensor

from cyclip_pl.objectives.cyclic import CyclicConsistency
from cyclip_pl.objectives.siglip import SigLIP
from cyclip_pl.types import Embeddings


class CySigLIP(SigLIP):
    """SigLIP with CyCLIP's two terms; the combination is *our choice*.

    Args:
        lambda_in_modal, lambda_cross_modal: See `CyclicConsistency`.
        init_scale, init_bias, max_scale: See `SigLIP`.
    """

    def __init__(
        self,
        lambda_in_modal: float = 0.25,
        lambda_cross_modal: float = 0.25,
        init_scale: float | None = None,
        init_bias: float | None = None,
        max_scale: float = 100.0,
    ) -> None:
        super().__init__(init_scale, init_bias, max_scale)
        self.consistency = CyclicConsistency(lambda_in_modal, lambda_cross_modal)

    def forward(self, embeddings: Embeddings) -> dict[str, Tensor]:
        """`Embeddings` (V, n, D) and (U, n, D) → total and its three unweighted terms."""
        terms = super().forward(embeddings)
        return {**terms, **self.consistency(terms["total"], embeddings.pairs())}
