"""A moving average of the weights: what evaluations see and checkpoints hold."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import lightning as L

from cyclip_pl import checks
from cyclip_pl.average import Average
from cyclip_pl.checkpoints.files import AVERAGED_FROM

RAW = "raw_"  # before the name of an evaluation that has looked at the weights behind the average


class EMA(L.Callback):
    """Averages the weights over the steps: average ← decay · average + (1 − decay) · weights.

    Checkpoints hold the average as their weights, and those of the last step beside it, from which
    a resumed run goes on. A step that was not finite left the weights as they were; the average
    takes them once more.

    Args:
        decay: How much of the average stays at each step.
        start_step: Steps in which the average is the weights themselves, at least the first.
        every_n_steps: Steps between two updates, each with decay ** every_n_steps, so that the
            average reaches back as far whatever the cadence (our choice).
        evaluate: What evaluations run on: the `average`; the `raw` weights of the last step; or
            `both`, where the metrics of the raw weights are `<set>/raw_<evaluation>/<metric>`.
            `best.ckpt` holds the average; the raw weights with `raw`.

    Raises:
        ValueError: A setting out of range; or weights in half precision, in which the average
            would stand still.
    """

    def __init__(
        self,
        decay: float = 0.999,
        start_step: int = 0,
        every_n_steps: int = 1,
        evaluate: Literal["average", "raw", "both"] = "average",
    ) -> None:
        # A decay of 0 or 1 would multiply the infinities of an attention mask by zero.
        checks.number("callbacks.ema.decay", decay, above=0, most=0.99999)
        checks.whole("callbacks.ema.start_step", start_step, least=0)
        checks.whole("callbacks.ema.every_n_steps", every_n_steps)
        checks.one_of("callbacks.ema.evaluate", evaluate, ("average", "raw", "both"))
        self.decay = decay**every_n_steps
        self.start_step = max(1, start_step)  # the values that a run begins with are not averaged
        self.every_n_steps = every_n_steps
        self.evaluate = evaluate
        self._average: Average | None = None

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        precision = trainer.precision
        if precision in ("16-true", "bf16-true"):
            raise ValueError(
                f"trainer.precision={precision}: is too coarse for the average of callbacks.ema;"
                f" set trainer.precision={precision.replace('true', 'mixed')}"
            )

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._of(pl_module).to_weights()  # a checkpoint may be read before the module has moved

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, *unused: Any
    ) -> None:
        average, steps = self._of(pl_module), trainer.global_step - self.start_step
        if steps <= 0:
            average.copy()
        elif steps % self.every_n_steps == 0:
            average.follow(self.decay)

    def on_save_checkpoint(
        self, trainer: L.Trainer, pl_module: Any, checkpoint: dict[str, Any]
    ) -> None:
        average = self._of(pl_module)
        checkpoint[AVERAGED_FROM] = checkpoint["state_dict"]
        checkpoint["state_dict"] = average.state_dict()
        with average.in_place():
            checkpoint.update(scale=pl_module.scale, bias=pl_module.bias)

    def on_load_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        # A run without an average goes on with one that begins here.
        if AVERAGED_FROM in checkpoint:
            self._average = Average(pl_module)  # which Lightning has given the average
            trainer.strategy.load_model_state_dict({"state_dict": checkpoint[AVERAGED_FROM]})

    def _of(self, module: L.LightningModule) -> Average:
        # Late, since it begins as the weights of a checkpoint, in the shards of the strategy.
        if self._average is None:
            self._average = Average(module)
        return self._average

    @contextmanager
    def in_place(self, trainer: L.Trainer) -> Iterator[None]:
        """Inside, the module has the averaged weights."""
        with self._of(trainer.lightning_module).in_place():
            yield


def _kept(trainer: L.Trainer) -> EMA | None:
    callbacks: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return next((c for c in callbacks if isinstance(c, EMA)), None)


@contextmanager
def averaged(trainer: L.Trainer) -> Iterator[None]:
    """Inside, the module has the averaged weights, where the run evaluates an average."""
    ema = _kept(trainer)
    if ema is None or ema.evaluate == "raw":
        yield
    else:
        with ema.in_place(trainer):
            yield


def raw_too(trainer: L.Trainer) -> bool:
    """Whether evaluations look at the weights behind the average as well."""
    ema = _kept(trainer)
    return ema is not None and ema.evaluate == "both"


def raw_name(metric: str) -> str:
    """`<set>/<evaluation>/<metric>` → `<set>/raw_<evaluation>/<metric>`."""
    *sets, evaluation, name = metric.split("/")
    return "/".join((*sets, f"{RAW}{evaluation}", name))
