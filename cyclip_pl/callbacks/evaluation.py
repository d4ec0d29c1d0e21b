"""When evaluations run during training, and where their metrics go."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from cyclip_pl import checks, signals
from cyclip_pl.callbacks.ema import RAW, raw_name, raw_too
from cyclip_pl.callbacks.evaluated import as_evaluated
from cyclip_pl.evaluation.build import CADENCE, build, entries, without_sets
from cyclip_pl.evaluation.features.store import FeatureStore
from cyclip_pl.evaluation.protocols.base import Protocol, openable, run
from cyclip_pl.evaluation.results import Results

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cadence:
    """When an evaluation runs, besides the end of the training: None for never."""

    every_n_epochs: int | None = 1
    every_n_steps: int | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            checks.whole(name, value, optional=True)


class EvaluationCallback(Callback):
    """Run evaluations on `pl_module.as_model()`, each at its own cadence and at the end.

    An evaluation runs at most once per optimizer step; those due at one step share what they
    compute. Its metrics reach every logger at that step, and `trainer.callback_metrics` before a
    `ModelCheckpoint` looks there. `EMA` decides whether it looks at the average, and at the raw
    weights too. The training is that without evaluations: modes, random state
    and gradients are as before.

    Args:
        evaluations: By name.
        cadence: By the same names; `Cadence()` for those that are missing.
        features: Settings of the `FeatureStore` that the evaluations of a step share.
        without_sets: Names of evaluations that do not run because nobody has named a set.

    Attributes:
        metrics: The last metrics of each evaluation, `<dataset>/<evaluation>/<metric>`: at the end
            those of the final weights, all computed by this process.
        details: The details of the same, with the images that they name.

    Raises:
        ValueError: When the training begins: a missing or broken data set, or a wrong setting.
    """

    def __init__(
        self,
        evaluations: Mapping[str, Protocol[Any]],
        cadence: Mapping[str, Cadence] | None = None,
        features: Mapping[str, Any] | None = None,
        without_sets: Iterable[str] = (),
    ) -> None:
        self.evaluations = dict(evaluations)
        self.cadence = {name: (cadence or {}).get(name, Cadence()) for name in self.evaluations}
        self.features = dict(features or {})
        self.without_sets = tuple(without_sets)
        self.metrics: dict[str, float] = {}
        self.details = Results()
        self._step_of_last = dict.fromkeys(self.evaluations, 0)

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any] | None, features: Mapping[str, Any] | None = None
    ) -> EvaluationCallback:
        """From the nodes `evaluation`, whose entries may have a `cadence`, and `features`."""
        evaluations = build(config)
        cadence = {}
        for name, entry in entries(config).items():
            setting = f"evaluation.{name}.{CADENCE}"
            try:
                cadence[name] = Cadence(**(entry.get(CADENCE) or {}))
            except TypeError as error:
                raise ValueError(f"{setting}: has every_n_epochs and every_n_steps") from error
            except ValueError as error:
                raise ValueError(f"{setting}.{error}") from error
        return cls(evaluations, cadence, features, without_sets(config))

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit":
            self._store(pl_module)  # so that wrong settings show before the first step
            usable = openable(self.evaluations.values())
            self.evaluations = {n: e for n, e in self.evaluations.items() if e in usable}
            self.cadence = {name: self.cadence[name] for name in self.evaluations}
            self._step_of_last = {name: self._step_of_last[name] for name in self.evaluations}
            for name in self.evaluations if raw_too(trainer) else ():
                if f"{RAW}{name}" in self.evaluations:
                    raise ValueError(
                        f"evaluation.{RAW}{name}: callbacks.ema.evaluate=both gives this name to"
                        f" {name} of the raw weights; choose another"
                    )
            if self.without_sets and trainer.is_global_zero:
                logger.warning(
                    "evaluation: no sets for %s, so left out; name yours, evaluation.datasets=[…]",
                    ", ".join(self.without_sets),
                )

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        # At the last step already here, before a ModelCheckpoint that counts steps saves.
        steps = trainer.global_step
        ends = 0 <= trainer.max_steps <= steps
        due = [n for n, c in self.cadence.items() if ends or _divides(c.every_n_steps, steps)]
        self._run(trainer, pl_module, due)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        epochs = trainer.current_epoch + 1
        last = trainer.max_epochs is not None and 0 <= trainer.max_epochs <= epochs
        ends = last or trainer.should_stop
        due = [n for n, c in self.cadence.items() if ends or _divides(c.every_n_epochs, epochs)]
        self._run(trainer, pl_module, due)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # For what the above cannot foresee: an EarlyStopping of this very epoch.
        self._run(trainer, pl_module, self.evaluations)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # A run that was killed between its last checkpoint and its end has no step left to train,
        # so Lightning calls none of the above, and has taken the weights from the device.
        if any(step != trainer.global_step for step in self._step_of_last.values()):
            trainer.strategy.model_to_device()
            self._run(trainer, pl_module, self.evaluations)

    def _run(self, trainer: Trainer, pl_module: LightningModule, names: Iterable[str]) -> None:
        steps = trainer.global_step
        names = [name for name in names if self._step_of_last[name] != steps]
        if not names:
            return
        results = self._results(trainer, pl_module, names)
        metrics = dict(results.metrics)
        if raw_too(trainer):
            raw = self._results(trainer, pl_module, names, raw=True).metrics
            metrics |= {raw_name(name): value for name, value in raw.items()}
        self._step_of_last.update(dict.fromkeys(names, steps))
        self.metrics.update(metrics)
        self.details.update(replace(results, metrics={}, predictions={}))
        # Not through `log_dict`: between the steps that Lightning logs it would lose metrics, and
        # at the end of the training it is not allowed. Under the last step's number, from 0, as
        # that step's loss: what a checkpoint of N steps has seen are the rows below N.
        trainer.callback_metrics.update({k: torch.tensor(float(v)) for k, v in metrics.items()})
        for logger in trainer.loggers:
            logger.log_metrics(metrics, step=max(0, steps - 1))
            logger.save()

    def _results(
        self, trainer: Trainer, pl_module: LightningModule, names: Iterable[str], raw: bool = False
    ) -> Results:
        stopped: signals.Stopped | None = None
        with as_evaluated(trainer, raw):
            evaluations = [self.evaluations[name] for name in names]
            try:
                with signals.interruptible():
                    results = run(evaluations, self._store(pl_module))
            except signals.Stopped as error:
                stopped = error
        if stopped:
            raise stopped
        return results

    def _store(self, pl_module: LightningModule) -> FeatureStore:
        return FeatureStore(cast(Any, pl_module).as_model(), **self.features)


def _divides(every: int | None, count: int) -> bool:
    return every is not None and count % every == 0
