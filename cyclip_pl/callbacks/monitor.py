"""The metric that a callback goes by."""

from __future__ import annotations

import lightning as L

from cyclip_pl import checks
from cyclip_pl.callbacks.evaluation import EvaluationCallback
from cyclip_pl.callbacks.measuring import Measuring
from cyclip_pl.callbacks.validation import VAL


class Monitor:
    """A metric, named by a setting.

    Args:
        setting: Dotted name of the setting.
        name: `<set>/<evaluation>/<metric>`; or `<evaluation>/<metric>`, of the first set; or
            `val/<term>` of the validation loss.

    Raises:
        ValueError: It cannot name a metric.
    """

    def __init__(self, setting: str, name: str) -> None:
        if not isinstance(name, str) or name.count("/") not in (1, 2):
            raise ValueError(
                f"{setting}={name}: must be [<set>/]<evaluation>/<metric>, or {VAL}/<term>"
            )
        self.setting = setting
        self.name = name
        *self.sets, self.source, _ = name.split("/")

    def __str__(self) -> str:
        return f"{self.setting}={self.name}"

    def found(self, trainer: L.Trainer) -> str | None:
        """The full name of the metric, once there is one."""
        names = trainer.callback_metrics
        return next((name for name in names if f"/{name}".endswith(f"/{self.name}")), None)

    def check_source(self, trainer: L.Trainer) -> None:
        """Raise ValueError, before the first step, if nothing in this run gives the metric."""
        known = [name for callback in measuring(trainer) for name in callback.cadence]
        if self.source in known:
            return
        if self.source == VAL and not self.sets:
            raise ValueError(f"{self}: the run has no validation loss; set data.val.shards")
        hint = checks.did_you_mean(self.source, known)
        has = ", ".join(known) or "none"
        raise ValueError(
            f"{self}: the evaluation {self.source} does not run{hint} (this run has {has})"
        )

    def check_given(self, trainer: L.Trainer) -> None:
        """Raise ValueError if what should give the metric has run, and did not."""
        if self.found(trainer):
            return
        every = trainer.callback_metrics
        if given := [name for name in every if name.split("/")[-2:-1] == [self.source]]:
            listed = [name for name in given if name.split("/")[:-2] == self.sets] or given
            raise ValueError(
                f"{self}: {self.source} gives no such metric"
                f"{checks.did_you_mean(self.name, given)} (it has {', '.join(listed)})"
            )

    def left_out(self, trainer: L.Trainer) -> bool:
        """Whether its evaluation does not run because nobody has named a set."""
        evaluating = (c for c in measuring(trainer) if isinstance(c, EvaluationCallback))
        return any(self.source in callback.without_sets for callback in evaluating)


def measuring(trainer: L.Trainer) -> list[Measuring]:
    """The callbacks that measure the model."""
    callbacks: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return [callback for callback in callbacks if isinstance(callback, Measuring)]
