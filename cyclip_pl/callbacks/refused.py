"""What Lightning has and a run cannot keep its promises with: refused, with what to do instead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightning.pytorch.callbacks import (
    BatchSizeFinder,
    Callback,
    GradientAccumulationScheduler,
    LearningRateFinder,
    ModelCheckpoint,
    StochasticWeightAveraging,
    WeightAveraging,
)

from cyclip_pl.callbacks.ema import EMA

_AVERAGE = (
    "evaluations and checkpoints would not hold the averaged weights that it keeps; set"
    " callbacks=[default,ema] instead"
)
_REFUSED: dict[type[Callback], str] = {
    GradientAccumulationScheduler: "small batches added up are not one large batch, whose samples"
    " are each other's negatives; set data.batch_size=LARGE microbatch=SMALL instead",
    StochasticWeightAveraging: _AVERAGE,
    WeightAveraging: _AVERAGE,
    LearningRateFinder: "the schedule sets the learning rate of every step; try rates with"
    " -m optimizer.lr=3e-4,1e-3,3e-3 instead",
    BatchSizeFinder: "a run's batches are part of its objective and of its data's order; set"
    " data.batch_size, and microbatch where the memory does not hold it",
}
_NO_LOOP = (
    "nothing here is a validation loop of Lightning's; set"
    " evaluation.<name>.cadence.every_n_steps or every_n_epochs, and for the validation loss"
    " data.val.every_n_steps or data.val.every_n_epochs, instead"
)
_SETTINGS = {
    "val_check_interval": _NO_LOOP,
    "check_val_every_n_epoch": _NO_LOOP,
    "limit_val_batches": _NO_LOOP,
    "overfit_batches": "each epoch has an order of its own, and so its first batches have other"
    " samples; name one small shard in data.train.shards instead",
    "barebones": "a run needs its callbacks; set logger=[], callbacks=[] and evaluation=[] instead",
}


def check(callbacks: Mapping[str, Callback | None], trainer: Mapping[str, Any]) -> None:
    """Raise ValueError, one line, for a callback or a setting that cannot work here.

    Args:
        callbacks: By the name of their setting; None is an entry that is null.
        trainer: The settings of the trainer.
    """
    for name, why in _SETTINGS.items():
        if trainer.get(name):
            raise ValueError(f"trainer.{name}={trainer[name]}: {why}")
    for name, callback in callbacks.items():
        for kind, why in _REFUSED.items():
            if isinstance(callback, kind) and not isinstance(callback, EMA):
                raise ValueError(f"callbacks.{name}: {type(callback).__name__}: {why}")
        averages = any(isinstance(other, EMA) for other in callbacks.values())
        if averages and isinstance(callback, ModelCheckpoint) and callback.save_weights_only:
            raise ValueError(
                f"callbacks.{name}.save_weights_only=true: ModelCheckpoint would save the weights"
                " that callbacks.ema averages, and not their average; leave it out"
            )
