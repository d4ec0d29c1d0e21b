"""A trainer that only saves, and processes that save until they are killed."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from cyclip_pl.callbacks.last import Last
from cyclip_pl.checkpoints.files import checkpoint_file, read_weights
from cyclip_pl.checkpoints.io import CheckpointFiles


class SavingTrainer:
    """Its checkpoints hold `size` times `weight`, as `w`."""

    log_every_n_steps = 10
    is_global_zero = True

    def __init__(self, world_size: int = 1, size: int = 1) -> None:
        self.global_step = 0
        self.world_size = world_size
        self.size = size
        self.files = CheckpointFiles()
        self.strategy: Any = SimpleNamespace(checkpoint_io=self.files, broadcast=lambda x: x)
        self.saves: list[int] = []
        self.weight = 1.0
        self.full = False

    def save_checkpoint(self, path: Path | str, weights_only: bool) -> None:
        self.saves.append(self.global_step)
        if self.full:
            assert self.files.caught is not None
            self.files.caught.append(OSError(f"{path}: cannot be written: the disk is full"))
            return
        state = {"w": torch.full((self.size,), self.weight)}
        self.files.save_checkpoint({"global_step": self.global_step, "state_dict": state}, path)


def _save_until_killed(folder: Path, step: int, size: int) -> None:
    torch.set_num_threads(1)  # those of the process that was forked are not here
    trainer, last = SavingTrainer(size=size), Last(folder, every_n_steps=1)
    for trainer.global_step in range(step + 1, step + 10_000):
        trainer.weight = float(trainer.global_step)
        last.save(trainer)


def kill_while_saving(folder: Path, kills: int, size: int, seconds: float) -> list[int]:
    """Kill saving processes at random times up to `seconds`; the step found after each kill.

    After each of them the newest checkpoint must be whole, and what it says.
    """
    draw, steps = random.Random(0), [0]
    for _ in range(kills):
        if not (child := os.fork()):
            try:
                _save_until_killed(folder, steps[-1], size)
            finally:
                os._exit(1)
        # From the first save on, so that there is something to lose.
        while not list(folder.glob("last.ckpt")):
            time.sleep(0.001)
        time.sleep(draw.uniform(0, seconds))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WTERMSIG(status) == signal.SIGKILL
        found = read_weights(folder / "last.ckpt")
        assert checkpoint_file(folder) == folder / "last.ckpt"
        step = found["global_step"]
        assert torch.equal(found["state_dict"]["w"], torch.full((size,), float(step)))
        for path in folder.glob("step_*.ckpt"):
            assert path.name == f"step_{read_weights(path)['global_step']}.ckpt"
        steps.append(step)
    return steps[1:]
