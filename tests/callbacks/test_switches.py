"""What is switched off is left out, so that Lightning does not refuse it."""

from __future__ import annotations

from pathlib import Path

import pytest
from lightning.pytorch.callbacks import Callback, Checkpoint, LearningRateMonitor, ProgressBar
from lightning.pytorch.loggers import TensorBoardLogger

from cyclip_pl.callbacks.switches import switched_on
from cyclip_pl.training import train
from tests.helpers.composed import composed
from tests.helpers.world import shrunk


class Other(Callback):
    """A callback that no switch concerns."""


def test_each_switch(tmp_path: Path) -> None:
    bar, monitor, saved, other = ProgressBar(), LearningRateMonitor(), Checkpoint(), Other()
    every = [bar, monitor, None, saved, other]
    loggers = [TensorBoardLogger(tmp_path)]
    assert switched_on(every, {}, loggers) == [bar, monitor, saved, other]
    assert switched_on(every, {}, []) == [bar, saved, other]
    off = {"enable_progress_bar": False, "enable_checkpointing": False}
    assert switched_on(every, off, loggers) == [monitor, other]


@pytest.mark.slow
def test_a_run_with_everything_off(world: Path, tmp_path: Path) -> None:
    off = ["trainer.enable_progress_bar=false", "+trainer.logger=false"]
    off += ["+trainer.enable_checkpointing=false", "trainer.max_steps=1", "data.batch_size=8"]
    metrics = train(composed(*shrunk(world), *off, run_dir=tmp_path))
    assert metrics["train/steps"] == 1
    assert not any((tmp_path / name).exists() for name in ("checkpoints", "csv", "tensorboard"))
