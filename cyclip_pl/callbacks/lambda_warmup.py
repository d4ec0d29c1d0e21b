"""Raise the weights of the consistency terms from 0 at the start of training."""

from __future__ import annotations

from typing import Any

import lightning as L

from cyclip_pl import checks
from cyclip_pl.callbacks.cadence import is_logged
from cyclip_pl.objectives.cyclic import CyclicConsistency


class LambdaWarmup(L.Callback):
    """Multiplies λ1 and λ2 by k / steps in step k, counted from 0, until they are whole.

    Pretrained embeddings are not consistent at first, and a large penalty at once would move them
    away from what they were trained for (our choice). The factor is a function of the step, so a
    resumed run goes on with it. Outside of training steps the weights are whole.

    Args:
        steps: Steps of the warm-up, at least 1.

    Raises:
        ValueError: The objective has no such terms.
    """

    def __init__(self, steps: int = 1000) -> None:
        checks.whole("callbacks.lambda_warmup.steps", steps)
        self.steps = steps
        self._terms: list[CyclicConsistency] = []

    def setup(self, trainer: L.Trainer, pl_module: Any, stage: str) -> None:
        objective = pl_module.objective
        self._terms = [part for part in objective.modules() if isinstance(part, CyclicConsistency)]
        if not self._terms:
            raise ValueError(
                f"callbacks.lambda_warmup: {type(objective).__name__} has no consistency terms; set"
                " callbacks.lambda_warmup=null, or objective=cyclip"
            )

    def on_train_batch_start(self, trainer: L.Trainer, *unused: Any) -> None:
        self._set(min(1.0, trainer.global_step / self.steps))

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, *unused: Any) -> None:
        if is_logged(trainer):
            strength = self._terms[0].strength
            pl_module.log("train/lambda_strength", strength, batch_size=1)
        self._set(1.0)

    def _set(self, strength: float) -> None:
        for term in self._terms:
            term.strength = strength
