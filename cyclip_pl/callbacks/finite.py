"""Stop the run when the loss becomes NaN or infinite."""

from __future__ import annotations

import math
from typing import Any

import lightning as L

from cyclip_pl.callbacks.cadence import is_logged


class StopWhenNotFinite(L.Callback):
    """Checks the loss at the steps that are logged, so that other steps do not wait for the device.

    Raises:
        ValueError: The loss is not finite; names the step and what to change.
    """

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, *unused: Any
    ) -> None:
        if not is_logged(trainer):
            return
        loss = outputs["loss"].item()
        if not math.isfinite(loss):
            raise ValueError(
                f"the loss is {loss} at step {trainer.global_step}; lower optimizer.lr,"
                " raise scheduler.warmup_steps or set trainer.precision=32-true"
            )
