"""When the model is measured beside its training, and where the metrics go."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from cyclip_pl import checks, signals
from cyclip_pl.callbacks.ema import raw_name, raw_too
from cyclip_pl.callbacks.evaluated import as_evaluated


@dataclass(frozen=True)
class Cadence:
    """When something is measured, besides the end of the training: None for never."""

    every_n_epochs: int | None = 1
    every_n_steps: int | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            checks.whole(name, value, optional=True)


class Measuring(Callback, ABC):
    """Measures the model, each part at its own cadence and at the end; a subclass says how.

    A part runs at most once per optimizer step. Its metrics reach every logger at that step, and
    `trainer.callback_metrics` before a `ModelCheckpoint` looks there. `EMA` decides whether it
    looks at the average, and at the raw weights too. The training is that without it: modes,
    random state and gradients are as before.

    Args:
        cadence: When each part runs, by its name.

    Attributes:
        metrics: The last metrics of each part: at the end those of the final weights, all computed
            by this process.
        step_of: The step at which each of them was measured.
    """

    def __init__(self, cadence: Mapping[str, Cadence]) -> None:
        self.cadence = dict(cadence)
        self.metrics: dict[str, float] = {}
        self.step_of: dict[str, int] = {}
        self._step_of_last = dict.fromkeys(self.cadence, 0)

    @abstractmethod
    def measure(
        self, trainer: Trainer, pl_module: LightningModule, names: Sequence[str]
    ) -> dict[str, float]:
        """The metrics of these parts, on the weights and in the modes of an evaluation."""

    def keep(self, names: Iterable[str]) -> None:
        """Leave out all parts but these."""
        self.cadence = {name: self.cadence[name] for name in names}
        self._step_of_last = {name: self._step_of_last[name] for name in self.cadence}

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: object) -> None:
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
        self._run(trainer, pl_module, self.cadence)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # A run that was killed between its last checkpoint and its end has no step left to train,
        # so Lightning calls none of the above, and has taken the weights from the device.
        if any(step != trainer.global_step for step in self._step_of_last.values()):
            trainer.strategy.model_to_device()
            self._run(trainer, pl_module, self.cadence)

    def _run(self, trainer: Trainer, pl_module: LightningModule, names: Iterable[str]) -> None:
        steps = trainer.global_step
        names = [name for name in names if self._step_of_last[name] != steps]
        if not names:
            return
        metrics: dict[str, float] = {}
        if raw_too(trainer):  # first, so that what else is kept is of the run's model
            raw = self._measured(trainer, pl_module, names, raw=True)
            metrics = {raw_name(name): value for name, value in raw.items()}
        metrics |= self._measured(trainer, pl_module, names)
        self._step_of_last.update(dict.fromkeys(names, steps))
        self.metrics.update(metrics)
        self.step_of.update(dict.fromkeys(metrics, steps))
        # Not through `log_dict`: between the steps that Lightning logs it would lose metrics, and
        # at the end of the training it is not allowed. Under the last step's number, from 0, as
        # that step's loss: what a checkpoint of N steps has seen are the rows below N.
        trainer.callback_metrics.update({k: torch.tensor(float(v)) for k, v in metrics.items()})
        for logger in trainer.loggers:
            logger.log_metrics(metrics, step=max(0, steps - 1))
            logger.save()

    def _measured(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        names: Sequence[str],
        raw: bool = False,
    ) -> dict[str, float]:
        stopped: signals.Stopped | None = None
        with as_evaluated(trainer, raw):
            try:
                with signals.interruptible():
                    metrics = self.measure(trainer, pl_module, names)
            except signals.Stopped as error:
                stopped = error
        if stopped:
            raise stopped
        return metrics


def _divides(every: int | None, count: int) -> bool:
    return every is not None and count % every == 0
