"""Cyclic consistency, to be added to any objective."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cyclip_pl import checks
from cyclip_pl.losses.consistency import consistency_penalty


class CyclicConsistency(nn.Module):
    """λ1 · in-modal + λ2 · cross-modal (CyCLIP, arXiv 2205.14459, eq. 2 and 3).

    The temperature cancels in both terms, so they fit any loss on the same embeddings.

    Args:
        lambda_in_modal: λ1, the weight of the in-modal consistency, at least 0.
        lambda_cross_modal: λ2, the weight of the cross-modal consistency, at least 0.

    Attributes:
        strength: Factor of both weights, which a warm-up raises from 0 to 1.
    """

    def __init__(self, lambda_in_modal: float, lambda_cross_modal: float) -> None:
        super().__init__()
        checks.number("objective.lambda_in_modal", lambda_in_modal, least=0)
        checks.number("objective.lambda_cross_modal", lambda_cross_modal, least=0)
        self.lambda_in_modal = lambda_in_modal
        self.lambda_cross_modal = lambda_cross_modal
        self.strength = 1.0

    def forward(self, total: Tensor, pairs: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        """Add both weighted terms to `total`; they are also returned, unweighted, without gradient.

        Each term is the mean over the pairs.
        """
        weights = self.strength * self.lambda_in_modal, self.strength * self.lambda_cross_modal
        parts = [torch.stack(consistency_penalty(*pair, *weights)) for pair in pairs]
        penalty, in_modal, cross_modal = torch.stack(parts).mean(0)
        return {
            "total": total + penalty,
            "in_modal": in_modal.detach(),
            "cross_modal": cross_modal.detach(),
        }
