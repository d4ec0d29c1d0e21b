"""The trainer's switches, which Lightning refuses beside callbacks that need what they turn off."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lightning.pytorch.callbacks import Callback, Checkpoint, LearningRateMonitor, ProgressBar
from lightning.pytorch.loggers import Logger


def switched_on(
    callbacks: Iterable[Callback | None], trainer: Mapping[str, Any], loggers: Sequence[Logger]
) -> list[Callback]:
    """The callbacks that the settings of the trainer leave on; None is an entry that is null."""
    off: list[type] = [type(None)]
    if not trainer.get("enable_progress_bar", True):
        off.append(ProgressBar)
    if not trainer.get("enable_checkpointing", True):
        off.append(Checkpoint)
    if not loggers:
        off.append(LearningRateMonitor)
    return [c for c in callbacks if c is not None and not isinstance(c, tuple(off))]
