"""The best checkpoint by a metric of an evaluation."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any, Literal

import lightning as L
from lightning.pytorch.callbacks import Checkpoint

from cyclip_pl import checks
from cyclip_pl.callbacks.ema import averaged
from cyclip_pl.callbacks.evaluation import EvaluationCallback
from cyclip_pl.checkpoints.io import save_on_all
from cyclip_pl.checkpoints.places import folder, is_file

logger = logging.getLogger(__name__)

SETTING = "callbacks.best.monitor"


class Best(Checkpoint):
    """Saves `best.ckpt` whenever the monitored metric of an evaluation has improved.

    It looks after each run of the evaluation. Lightning's `ModelCheckpoint` has a cadence of its
    own, and fails where the metric does not exist yet.

    Args:
        dirpath: Folder of the checkpoint.
        monitor: `<set>/<evaluation>/<metric>`; or `<evaluation>/<metric>`, of the first set and
            only where that evaluation runs; or None for no best checkpoint.
        mode: Whether a larger ("max") or a smaller ("min") metric is better.

    Raises:
        ValueError: Before the first step, if this run has no such evaluation; after the
            evaluation's first run, if it does not give that metric.
    """

    def __init__(
        self, dirpath: str | Path, monitor: str | None, mode: Literal["max", "min"] = "max"
    ) -> None:
        checks.one_of("callbacks.best.mode", mode, ("max", "min"))
        if monitor is not None and monitor.count("/") not in (1, 2):
            raise ValueError(f"{SETTING}={monitor}: must be null or [<set>/]<evaluation>/<metric>")
        try:
            self.path = folder(dirpath).at("best.ckpt")
        except ValueError as error:
            raise ValueError(f"callbacks.best.dirpath={error}") from error
        self.monitor = monitor
        self.sign = 1 if mode == "max" else -1
        self.best: dict[str, float] = {}  # by metric: a resumed run may monitor another one

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        callbacks: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]
        evaluating = [c for c in callbacks if isinstance(c, EvaluationCallback)]
        known = {name for callback in evaluating for name in callback.evaluations}
        if self.monitor is None or (evaluation := self.monitor.split("/")[-2]) in known:
            return
        problem = f"{SETTING}={self.monitor}: the evaluation {evaluation} does not run"
        if self.monitor.count("/") == 2:
            hint = checks.did_you_mean(evaluation, known)
            raise ValueError(f"{problem}{hint} (this run has {', '.join(known) or 'none'})")
        # Said already where there are no sets.
        said = any(evaluation in callback.without_sets for callback in evaluating)
        if trainer.is_global_zero and not said:
            logger.warning("%s, so there will be no best.ckpt", problem)
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

    def _metric(self, trainer: L.Trainer) -> str | None:
        """The full name of the monitored metric, once there is one."""
        names = trainer.callback_metrics if self.monitor else ()
        return next((name for name in names if f"/{name}".endswith(f"/{self.monitor}")), None)

    def _look(self, trainer: L.Trainer) -> None:
        name = self._metric(trainer)
        if name is None:
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
        if self.monitor is None or self._metric(trainer):
            return
        *sets, evaluation, _ = self.monitor.split("/")
        given = [n for n in trainer.callback_metrics if n.split("/")[1:2] == [evaluation]]
        if given:
            listed = [n for n in given if n.split("/")[:1] == sets] or given
            raise ValueError(
                f"{SETTING}={self.monitor}: {evaluation} gives no such metric"
                f"{checks.did_you_mean(self.monitor, given)} (it has {', '.join(listed)})"
            )

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "sign": self.sign}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        # In another folder, and in the opposite mode, the best starts over.
        if state_dict["sign"] == self.sign and is_file(self.path):
            self.best = dict(state_dict["best"])
