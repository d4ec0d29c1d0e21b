"""A run in which a number becomes NaN or infinite at chosen steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import lightning as L
import torch


class Spoil(L.Callback):
    """Spoils the loss, one gradient, or one sample's features, at these steps (the first is 1).

    Args:
        how: "loss" (NaN, with gradients that are finite), "gradient" (infinite, one entry) or
            "sample" (NaN among one sample's features).
        rank: Of this rank alone.
    """

    def __init__(self, steps: Sequence[int], how: str = "loss", rank: int | None = None) -> None:
        self.steps, self.how, self.rank = set(steps), how, rank
        self._now = False

    def on_train_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        if self.rank not in (None, trainer.global_rank):
            return
        if self.how == "loss":
            pl_module.objective.register_forward_hook(self._loss)
        elif self.how == "sample":
            pl_module.encoder.register_forward_hook(self._sample)
        else:
            next(pl_module.encoder.parameters()).register_hook(self._gradient)

    def on_train_batch_start(self, trainer: L.Trainer, *unused: Any) -> None:
        self._now = trainer.global_step + 1 in self.steps

    def _loss(self, module: Any, inputs: Any, terms: dict[str, torch.Tensor]) -> Any:
        return {**terms, "total": terms["total"] + float("nan")} if self._now else terms

    def _sample(self, module: Any, inputs: Any, features: Any) -> Any:
        if not self._now:
            return features
        image = features.image.clone()
        image[0, 0, 0] = float("nan")
        return replace(features, image=image)

    def _gradient(self, gradient: torch.Tensor) -> torch.Tensor:
        if self._now:
            gradient = gradient.clone()
            gradient.view(-1)[0] = float("inf")
        return gradient
