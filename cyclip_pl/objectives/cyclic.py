"""Cyclic consistency as a part of any objective."""

from __future__ import annotations

import torch
from torch import Tensor

from cyclip_pl.losses.consistency import consistency_penalty


class CyclicConsistency:
    """λ1 · in-modal + λ2 · cross-modal (CyCLIP, arXiv 2205.14459, eq. 2 and 3).

    The temperature cancels in both, so they know nothing of the objective that they are added to.

    Args:
        lambda_in_modal: λ1.
        lambda_cross_modal: λ2.

    Raises:
        ValueError: a negative weight.
    """

    def __init__(self, lambda_in_modal: float, lambda_cross_modal: float) -> None:
        for name, value in (
            ("lambda_in_modal", lambda_in_modal),
            ("lambda_cross_modal", lambda_cross_modal),
        ):
            if value < 0:
                raise ValueError(f"objective.{name} must be at least 0, got {value}")
        self.lambda_in_modal = lambda_in_modal
        self.lambda_cross_modal = lambda_cross_modal

    def __call__(self, total: Tensor, pairs: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        """`total` with both terms added, and the two unweighted, each the mean over the pairs.

        Both are named whatever their weights, and are readings: what learns is `total`.
        """
        weights = self.lambda_in_modal, self.lambda_cross_modal
        parts = [torch.stack(consistency_penalty(*pair, *weights)) for pair in pairs]
        penalty, in_modal, cross_modal = torch.stack(parts).mean(0)
        return {
            "total": total + penalty,
            "in_modal": in_modal.detach(),
            "cross_modal": cross_modal.detach(),
        }
