"""Where the time of a step goes: a trace and a table."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch.profiler import ProfilerActivity, profile

from cyclip_pl import checks
from cyclip_pl.callbacks.operators import operators


class Profile(L.Callback):
    """Profiles some steps of the first rank: `trace.json.gz` and `operators.txt` in a folder.

    chrome://tracing and https://ui.perfetto.dev open the trace. The table is printed as well. What
    lies between two steps belongs to them: reading, logging, other callbacks.

    Args:
        dirpath: The folder.
        first: Steps before those that are profiled: memory, kernels and workers warm up.
        steps: Steps that are profiled.

    Raises:
        ValueError: A setting out of range; or when the training begins, if it has too few steps.
    """

    def __init__(self, dirpath: str | Path, first: int = 10, steps: int = 20) -> None:
        checks.whole("callbacks.profile.first", first)
        checks.whole("callbacks.profile.steps", steps)
        self.folder, self.first, self.steps = Path(dirpath), first, steps
        self._begun = 0
        self._profile: profile | None = None
        # Else the profiler's library writes lines of its own, for example about a missing GPU.
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._begun = trainer.global_step
        left = trainer.estimated_stepping_batches - trainer.global_step
        if left < self.first + self.steps:
            raise ValueError(
                f"callbacks.profile.steps={self.steps}: {int(left)} steps are left, and"
                f" {self.first} are not profiled; set trainer.max_steps to"
                f" {self._begun + self.first + self.steps} or more"
            )

    def on_train_batch_end(self, trainer: L.Trainer, *unused: Any) -> None:
        if not trainer.is_global_zero:
            return
        done = trainer.global_step - self._begun
        if done == self.first and self._profile is None:
            gpu = [ProfilerActivity.CUDA] if torch.cuda.is_available() else []
            self._profile = profile(activities=[ProfilerActivity.CPU, *gpu])
            self._profile.start()
        elif done == self.first + self.steps and self._profile is not None:
            self._profile.stop()
            self._write(self._profile)
            self._profile = None

    def _write(self, profiled: profile) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        trace, table = self.folder / "trace.json.gz", operators(profiled, self.steps)
        profiled.export_chrome_trace(str(trace))
        (self.folder / "operators.txt").write_text(table, "utf-8")
        print(
            f"profile of {self.steps} steps, also in {self.folder / 'operators.txt'}:\n\n{table}\n"
            f"trace, for chrome://tracing or https://ui.perfetto.dev: {trace}",
            flush=True,
        )


class ProfileTable(L.Callback):
    """Prints the table of `trainer.profiler`, which Lightning hands to a log that is silent here.

    Not if the profiler writes a file of its own.
    """

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        profiler = trainer.profiler  # type: ignore[attr-defined]  # set by a connector
        if trainer.is_global_zero and profiler.filename is None and (table := profiler.summary()):
            print(table)
