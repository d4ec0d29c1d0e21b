"""The best checkpoint by a metric."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any, Literal

import lightning as L
from lightning.pytorch.callbacks import Checkpoint

from cyclip_pl import checks
from cyclip_pl.callbacks.ema import averaged
from cyclip_pl.callbacks.monitor import Monitor
from cyclip_pl.callbacks.validation import VAL
from cyclip_pl.checkpoints.io import save_on_all
from cyclip_pl.checkpoints.places import folder, is_file

logger = logging.getLogger(__name__)

SETTING = "callbacks.best.monitor"


class Best(Checkpoint):
    """Saves `best.ckpt` whenever the monitored metric has improved.

    It looks after each run of the evaluation, or of the validation. Lightning's `ModelCheckpoint`
    has a cadence of its own, and fails where the metric does not exist yet.

    Args:
        dirpath: Folder of the checkpoint.
        monitor: `<set>/<evaluation>/<metric>`; or `<evaluation>/<metric>`, of the first set and
            only where that evaluation runs; or `val/<term>`; or None for no best checkpoint.
        mode: Whether a larger ("max") or a smaller ("min") metric is better.

    Raises:
        ValueError: Before the first step, if nothing in this run gives the metric; after the
            evaluation's first run, if it does not give that metric.
    """

    def __init__(
        self, dirpath: str | Path, monitor: str | None, mode: Literal["max", "min"] = "max"
    ) -> None:
        checks.one_of("callbacks.best.mode", mode, ("max", "min"))
        self.monitor = None if monitor is None else Monitor(SETTING, monitor)
        try:
            self.path = folder(dirpath).at("best.ckpt")
        except ValueError as error:
            raise ValueError(f"callbacks.best.dirpath={error}") from error
        self.sign = 1 if mode == "max" else -1
        self.best: dict[str, float] = {}  # by metric: a resumed run may monitor another one

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if self.monitor is None:
            return
        try:
            self.monitor.check_source(trainer)
        except ValueError:
            # The default's evaluation may be left out, which a line has said where it has no sets.
            if self.monitor.sets or self.monitor.source == VAL:
                raise
            if trainer.is_global_zero and not self.monitor.left_out(trainer):
                logger.warning(
                    "%s: the evaluation %s does not run, so there will be no best.ckpt",
                    *(self.monitor, self.monitor.source),
                )
            self.monitor = None

    def on_train_batch_start(self, trainer: L.Trainer, *unused: Any) -> None:
        self._check(trainer)

    def on_train_batch_end(self, trainer: L.Trainer, *unused: Any) -> None:
        self._look(trainer)

    def on_train_epoch_end(self, trainer: L.Trainer, *unused: Any) -> None:
        self._look(trainer)

    def on_train_end(self, trainer: L.Trainer, *unused: Any) -> None:
        self._look(trainer)
        # What shows at the last step is said here: `Last` has saved by now.
        self._check(trainer)

    def _look(self, trainer: L.Trainer) -> None:
        name = self.monitor and self.monitor.found(trainer)
        if not name:
            return
        value = trainer.callback_metrics[name].item()
        # NaN compares false: a metric that is not a number is never the best.
        if self.sign * value > self.sign * self.best.get(name, -self.sign * math.inf):
            # For evaluation only: without the optimiser's state it is a third of the size.
            with averaged(trainer):
                problem = save_on_all(trainer, self.path, weights_only=True)
            if problem is None:
                self.best[name] = value
            elif trainer.is_global_zero:
                logger.warning("%s (%s=%.4g)", problem, name, value)

    def _check(self, trainer: L.Trainer) -> None:
        if self.monitor is not None:
            self.monitor.check_given(trainer)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "sign": self.sign}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        # In another folder, and in the opposite mode, the best starts over.
        if state_dict["sign"] == self.sign and is_file(self.path):
            self.best = dict(state_dict["best"])
