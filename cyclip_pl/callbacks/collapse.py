"""Say when clusters have collapsed: accuracy and loss alone hide it."""

from __future__ import annotations

import logging
from typing import Any

import lightning as L

from cyclip_pl.callbacks.cadence import is_logged

log = logging.getLogger(__name__)

READING = "cluster_information"


class WarnOfCollapse(L.Callback):
    """Watches every objective's `cluster_information`, H(p̄) − H(p), where one logs it.

    It is what a cluster says of its sample, and goes to zero whether all samples share a cluster or
    every sample is spread over all of them.

    Args:
        least: nats below which a reading counts.
        patience: so many readings in a row, one each time that the run logs, before the warning.
    """

    def __init__(self, least: float = 0.05, patience: int = 10) -> None:
        if patience < 1:
            raise ValueError(f"callbacks.collapse.patience must be at least 1, got {patience}")
        self.least = least
        self.patience = patience
        self._low: dict[str, int] = {}

    def on_train_batch_end(self, trainer: L.Trainer, *unused: Any) -> None:
        if not is_logged(trainer):
            return
        for name, value in trainer.callback_metrics.items():
            if name.rpartition("/")[2] != READING:
                continue
            self._low[name] = self._low.get(name, 0) + 1 if value.item() < self.least else 0
            if self._low[name] == self.patience and trainer.is_global_zero:
                log.warning(
                    "collapse: %s is %.3f nats at step %d, the clusters say nothing of their"
                    " samples: raise lambda_sharpness (below 1) and lambda_smoothness, or"
                    " projector.temperature",
                    name,
                    value.item(),
                    trainer.global_step,
                )
