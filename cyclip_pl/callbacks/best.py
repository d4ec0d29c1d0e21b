"""The best checkpoint by an evaluation's figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import lightning as L
from lightning.pytorch.callbacks import Checkpoint


class Best(Checkpoint):
    """Saves `best.ckpt` when the monitored figure of an evaluation has improved.

    Lightning's `ModelCheckpoint` looks at its own cadence and fails where the figure is not there
    yet; here the cadence is that of the evaluation.

    Args:
        dirpath: folder of the checkpoint.
        monitor: `<dataset>/<evaluation>/<figure>`; None keeps no best checkpoint.
        mode: whether more of it is better.
    """

    def __init__(
        self, dirpath: str | Path, monitor: str | None, mode: Literal["max", "min"] = "max"
    ) -> None:
        if mode not in ("max", "min"):
            raise ValueError(f"callbacks.best.mode must be max or min, got {mode}")
        self.path = Path(dirpath) / "best.ckpt"
        self.monitor = monitor
        self.sign = 1 if mode == "max" else -1
        self.best: float | None = None

    def on_train_batch_end(self, trainer: L.Trainer, *unused: Any) -> None:
        self._look(trainer)

    def on_train_epoch_end(self, trainer: L.Trainer, *unused: Any) -> None:
        self._look(trainer)

    def _look(self, trainer: L.Trainer) -> None:
        figure = trainer.callback_metrics.get(self.monitor) if self.monitor else None
        if figure is None:
            return
        value = figure.item()
        if self.best is None or self.sign * value > self.sign * self.best:
            self.best = value
            # For evaluation: without the optimiser it is a third of the size.
            trainer.save_checkpoint(self.path, weights_only=True)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = state_dict["best"]
