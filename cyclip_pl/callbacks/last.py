"""The checkpoint that a run can be resumed from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Checkpoint

from cyclip_pl import checks


class Last(Checkpoint):
    """Saves `last.ckpt` every `every_n_steps`, at the end, and when a signal ends the run (`Stop`).

    Exceptions save nothing: weights that have diverged must not replace good ones.

    Args:
        dirpath: Folder of the checkpoint.
        every_n_steps: Optimiser steps between saves.
    """

    def __init__(self, dirpath: str | Path, every_n_steps: int) -> None:
        checks.whole("callbacks.last.every_n_steps", every_n_steps)
        self.path = Path(dirpath) / "last.ckpt"
        self.every_n_steps = every_n_steps
        self._saved_at: int | None = None

    def on_train_batch_end(self, trainer: L.Trainer, *unused: Any) -> None:
        if trainer.global_step % self.every_n_steps == 0:
            self.save(trainer)

    def on_train_end(self, trainer: L.Trainer, *unused: Any) -> None:
        self.save(trainer)

    def on_load_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        # A run of `max_steps` may end with the last batch of an epoch. Resumed, it begins the next
        # epoch, but Lightning would begin that one behind as many batches.
        progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        current = progress["current"]
        if progress["is_last_batch"] and current["completed"] == current["ready"]:
            progress["current"] = dict.fromkeys(current, 0)

    def save(self, trainer: L.Trainer) -> None:
        if self._saved_at != trainer.global_step:
            trainer.save_checkpoint(self.path)
            self._saved_at = trainer.global_step
