"""A moving average of the weights: what evaluations see and checkpoints hold."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy

from cyclip_pl import checks
from cyclip_pl.checkpoints.io import AVERAGED_FROM


class EMA(EMAWeightAveraging):
    """Averages all parameters and buffers: average ← decay · average + (1 − decay) · weights.

    Evaluations run on the average. Checkpoints hold it as their weights, and those of the last
    step beside it, from which a resumed run goes on. A step that was not finite left the weights as
    they were; the average takes them once more.

    Args:
        decay: How much of the average stays at each step.
        start_step: Steps in which the average is the weights themselves.

    Raises:
        ValueError: A strategy that shards the weights, or weights in half precision, in which the
            average would stand still.
    """

    def __init__(self, decay: float = 0.999, start_step: int = 0) -> None:
        # A decay of 0 or 1 would multiply the infinities of an attention mask by zero.
        checks.number("callbacks.ema.decay", decay, above=0, most=0.99999)
        checks.whole("callbacks.ema.start_step", start_step, least=0)
        super().__init__(decay=decay)
        self.start_step = start_step

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        strategy, precision = trainer.strategy, trainer.precision
        if not isinstance(strategy, SingleDeviceStrategy | DDPStrategy):
            raise ValueError(
                f"callbacks.ema: {type(strategy).__name__} does not keep whole parameters on each"
                " device; set callbacks.ema=null, or trainer=default or ddp"
            )
        if precision in ("16-true", "bf16-true"):
            raise ValueError(
                f"trainer.precision={precision}: is too coarse for the average of callbacks.ema;"
                f" set trainer.precision={precision.replace('true', 'mixed')}"
            )
        # The module is not there yet.
        self._device = strategy.root_device
        super().setup(trainer, pl_module, stage)
        # Lightning reads this counter at each step, for which a GPU would have to wait.
        assert self._average_model is not None
        self._average_model.n_averaged = torch.tensor(0)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, *rest: Any
    ) -> None:
        assert self._average_model is not None
        if trainer.global_step <= self.start_step:
            self._average_model.n_averaged.zero_()  # the first of an average is a copy
        super().on_train_batch_end(trainer, pl_module, *rest)

    def on_train_end(self, *unused: Any) -> None:
        """Nothing: Lightning puts the average in place of the weights before `Last` saves both."""

    def on_save_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        super().on_save_checkpoint(trainer, pl_module, checkpoint)
        assert self._average_model is not None and AVERAGED_FROM in checkpoint
        average: Any = self._average_model.module
        checkpoint.update(scale=average.scale, bias=average.bias)


@contextmanager
def averaged(trainer: L.Trainer) -> Iterator[None]:
    """Within it, the module has the averaged weights, where the run keeps an average."""
    callbacks: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]
    averages = [c for c in callbacks if isinstance(c, EMA)]
    for average in averages:
        average.on_validation_epoch_start(trainer, trainer.lightning_module)
    try:
        yield
    finally:
        for average in averages:
            average.on_validation_epoch_end(trainer, trainer.lightning_module)
