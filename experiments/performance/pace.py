"""The callback by which `busy.py` lets a training run for some seconds at a time."""

from __future__ import annotations

import json
import sys
import time
from typing import Any, TextIO

import lightning as L
import torch

from cyclip_pl.types import Batch

WARM = 2  # first steps of a turn; they do not count


class Pace(L.Callback):
    """Waits between two turns; a turn is a line of JSON with its threads and seconds."""

    answers: TextIO = sys.stdout

    def __init__(self) -> None:
        self.steps, self.images = -1, 0  # -1: no turn yet
        self.start = self.seconds = 0.0

    def on_train_batch_end(
        self, trainer: L.Trainer, module: Any, outputs: Any, batch: Batch, *unused: Any
    ) -> None:
        now = time.perf_counter()
        if self.steps >= 0:
            self.steps += 1
            if self.steps <= WARM:
                self.start, self.images = now, 0
            else:
                self.images += len(batch)
            passed = now - self.start
            if self.steps <= WARM or passed < self.seconds:
                return
            print(self.images / passed, file=self.answers, flush=True)
        if line := sys.stdin.readline():
            turn = json.loads(line)
            torch.set_num_threads(turn["threads"])
            self.steps, self.seconds = 0, turn["seconds"]
        else:
            trainer.should_stop = True
