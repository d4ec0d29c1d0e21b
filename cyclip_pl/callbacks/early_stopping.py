"""A run ends when its metric no longer improves."""

from __future__ import annotations

import math
from typing import Any, Literal

import lightning as L
from lightning.pytorch.callbacks import EarlyStopping

from cyclip_pl import checks
from cyclip_pl.callbacks.cadence import is_logged
from cyclip_pl.callbacks.last import Last
from cyclip_pl.callbacks.monitor import Monitor, measuring

SETTING = "callbacks.early_stopping"
_LOGGED = ("train", "data")  # what steps log themselves


class EarlyStop(EarlyStopping):
    """Lightning's `EarlyStopping`, which here looks each time that its metric is new.

    That is after each run of the evaluation, or of the validation, inside an epoch too; at a metric
    of the steps, at each step that is logged. The run then ends as any other: final evaluations,
    `last.ckpt`. When it is resumed with the same patience, it makes no further step.

    Args:
        monitor: `[<set>/]<evaluation>/<metric>`, `val/<term>`, or what steps log, `train/<term>`.
        mode: Whether a smaller ("min") or a larger ("max") metric is better.
        patience: Looks in a row without an improvement that end the run, 1 or more.
        min_delta: What counts as an improvement is larger than this, at least 0.

    Raises:
        ValueError: Before the first step, if nothing in this run gives the metric; after the
            evaluation's first run, if it does not; at the end, if the metric never came.
    """

    def __init__(
        self,
        monitor: str,
        mode: Literal["min", "max"] = "min",
        patience: int = 3,
        min_delta: float = 0.0,
    ) -> None:
        checks.one_of(f"{SETTING}.mode", mode, ("min", "max"))
        checks.whole(f"{SETTING}.patience", patience)
        checks.number(f"{SETTING}.min_delta", min_delta, least=0)
        self._monitor = Monitor(f"{SETTING}.monitor", monitor)
        super().__init__(monitor, min_delta, patience, mode=mode)
        self._looked_at = -1
        self._has_stepped = False

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if self._monitor.source not in _LOGGED:
            self._monitor.check_source(trainer)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.wait_count >= self.patience:
            trainer.should_stop = True
            if trainer.is_global_zero:
                print(
                    f"{SETTING}.patience={self.patience}: {self.monitor} had not improved for"
                    f" {self.wait_count} looks when the run stopped; to go on, raise it",
                    flush=True,
                )

    def on_train_batch_start(self, trainer: L.Trainer, *unused: Any) -> None:
        self._monitor.check_given(trainer)

    def on_train_batch_end(self, trainer: L.Trainer, *unused: Any) -> None:
        self._has_stepped = True
        self._look(trainer)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._look(trainer)

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        # Here, since `Last` has saved by now.
        self._monitor.check_given(trainer)
        if self._has_stepped and self._monitor.found(trainer) is None:
            there = ", ".join(trainer.callback_metrics) or "no metric"
            raise ValueError(f"{self._monitor}: the metric never came; the run has {there}")

    def _look(self, trainer: Any) -> None:
        name, step = self._monitor.found(trainer), trainer.global_step
        if name is None or trainer.fast_dev_run or not self._is_new(trainer, name, step):
            return
        self._looked_at = step
        stops, _ = self._evaluate_stopping_criteria(trainer.callback_metrics[name].detach().cpu())
        # Only where it ends the run: a resumed one must not be told of an end that did not come.
        if trainer.strategy.reduce_boolean_decision(stops, all=False):
            trainer.should_stop = True
            if trainer.is_global_zero:
                print(self._line(trainer, name, step), flush=True)

    def _is_new(self, trainer: L.Trainer, name: str, step: int) -> bool:
        measured = {n: s for callback in measuring(trainer) for n, s in callback.step_of.items()}
        return step != self._looked_at and (
            measured[name] == step if name in measured else is_logged(trainer)
        )

    def _line(self, trainer: L.Trainer, name: str, step: int) -> str:
        value, best = trainer.callback_metrics[name].item(), self.best_score.item()
        why = f"has not improved for {self.wait_count} looks (now {value:.4g}, best {best:.4g})"
        if not math.isfinite(value):
            why = f"is {value}"
        callbacks: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]
        saved = any(isinstance(callback, Last) for callback in callbacks)
        stands = "; last.ckpt has its weights" if saved else ""
        return f"early stopping: {name} {why}; the run ends at step {step}{stands}"

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "looked_at": self._looked_at}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        # What the checkpoint ran with must not replace what was typed.
        super().load_state_dict({**state_dict, "patience": self.patience})
        self._looked_at = state_dict["looked_at"]
