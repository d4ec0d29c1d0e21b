"""CyCLIP: CLIP with in-modal and cross-modal consistency."""

from __future__ import annotations

from torch import Tensor

from cyclip_pl.objectives.clip import CLIP
from cyclip_pl.objectives.cyclic import CyclicConsistency
from cyclip_pl.types import Embeddings


class CyCLIP(CLIP):
    """Goel et al., arXiv 2205.14459, eq. 4; λ1 = λ2 = 0.25 is the published model.

        objective = CyCLIP()
        image, text = (normalize(torch.randn(1, 8, 512), dim=-1) for _ in range(2))
        objective(Embeddings(image, text))["total"].backward()

    Args:
        lambda_in_modal: λ1, the weight of the in-modal consistency, at least 0; 0 is C-CyCLIP.
        lambda_cross_modal: λ2, of the cross-modal consistency, at least 0; 0 is I-CyCLIP.
        mask_equal_captions: Of the contrastive term, see `CLIP`.
        init_scale, max_scale: See `ScaledObjective`.
    """

    def __init__(
        self,
        lambda_in_modal: float = 0.25,
        lambda_cross_modal: float = 0.25,
        mask_equal_captions: bool = False,
        init_scale: float | None = None,
        max_scale: float = 100.0,
    ) -> None:
        super().__init__(mask_equal_captions, init_scale, max_scale)
        self.consistency = CyclicConsistency(lambda_in_modal, lambda_cross_modal)

    def forward(self, embeddings: Embeddings) -> dict[str, Tensor]:
        """`Embeddings` (V, n, D) and (U, n, D) → total and its three unweighted terms."""
        terms = super().forward(embeddings)
        return {**terms, **self.consistency(terms["total"], embeddings.pairs())}
