"""A step's row in the CSV file, for a run that is killed right after a checkpoint."""

from __future__ import annotations

from typing import Any

import lightning as L

from cyclip_pl.callbacks.cadence import is_logged
from cyclip_pl.csv_logger import CSVLogger


class LoggedStep(L.Callback):
    """Keeps what a step logs in the checkpoint that is saved after it.

    Lightning logs a step when its callbacks have run, and so after its checkpoint is saved. A run
    that is killed between the two finds the row here when it is resumed.
    """

    def __init__(self) -> None:
        self._row: dict[str, Any] = {}

    def on_save_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if is_logged(trainer):
            metrics = {name: value.item() for name, value in trainer.logged_metrics.items()}
            checkpoint["logged"] = {**metrics, "epoch": trainer.current_epoch}

    def on_load_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._row = checkpoint.get("logged", {})

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        for logger in trainer.loggers:
            if isinstance(logger, CSVLogger) and self._row:
                logger.add_missing(self._row, trainer.global_step - 1)
