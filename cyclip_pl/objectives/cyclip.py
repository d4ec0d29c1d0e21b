"""CyCLIP: CLIP made consistent within and across the modalities."""

from __future__ import annotations

import torch
from torch import Tensor

from cyclip_pl.losses.consistency import consistency_terms
from cyclip_pl.losses.contrastive import contrastive_loss
from cyclip_pl.objectives.base import ScaledObjective
from cyclip_pl.types import Embeddings


class CyCLIP(ScaledObjective):
    """Goel et al., arXiv 2205.14459, eq. 4; 0.25 and 0.25 are the published model.

    With several views each term is the mean over the pairs of an image view and a text view. Both
    consistency terms are computed and named whatever their weights: at zero they are a reading.

    Args:
        lambda_in_modal: λ1, weight of the in-modal consistency; 0 is C-CyCLIP.
        lambda_cross_modal: λ2, weight of the cross-modal consistency; 0 is I-CyCLIP.
        init_scale, max_scale: see `ScaledObjective`.

    Raises:
        ValueError: a negative weight.
    """

    def __init__(
        self,
        lambda_in_modal: float = 0.25,
        lambda_cross_modal: float = 0.25,
        init_scale: float = 1 / 0.07,
        max_scale: float = 100.0,
    ) -> None:
        super().__init__(init_scale, max_scale)
        for name, value in (
            ("lambda_in_modal", lambda_in_modal),
            ("lambda_cross_modal", lambda_cross_modal),
        ):
            if value < 0:
                raise ValueError(f"objective.{name} must be at least 0, got {value}")
        self.lambda_in_modal = lambda_in_modal
        self.lambda_cross_modal = lambda_cross_modal

    def forward(self, embeddings: Embeddings) -> dict[str, Tensor]:
        """`Embeddings` (V, n, D) and (U, n, D) → total and its three unweighted terms."""
        terms = torch.stack(
            [
                torch.stack([contrastive_loss(*pair, self.scale), *consistency_terms(*pair)])
                for pair in embeddings.pairs()
            ]
        )
        contrastive, in_modal, cross_modal = terms.mean(0)
        total = (
            contrastive + self.lambda_in_modal * in_modal + self.lambda_cross_modal * cross_modal
        )
        return {
            "total": total,
            "contrastive": contrastive,
            "in_modal": in_modal,
            "cross_modal": cross_modal,
        }
