"""One progress bar for the whole run, with the main metrics."""

from __future__ import annotations

from typing import Any

import lightning as L
from lightning.pytorch.callbacks import ProgressBar
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cyclip_pl.callbacks.cadence import is_logged

# Logged name → (name in the bar, format).
METRICS = {
    "train/total": ("loss", ".3f"),
    "val/total": ("val", ".3f"),
    "train/scale": ("scale", ".1f"),
    "train/gradient_norm": ("grad", ".2f"),
    "train/images_per_second": ("img/s", ".0f"),
    "train/data_wait": ("wait", ".0%"),
    "data/skipped": ("skipped", ".0f"),
}


class StepProgress(ProgressBar):
    """A bar over steps, not epochs: an epoch may be seconds or days.

    Args:
        lines_every: Logged steps per line, where the output is not a terminal.
    """

    def __init__(self, lines_every: int = 10) -> None:
        super().__init__()
        self.lines_every = lines_every
        self._console = Console()
        self._enabled = True
        self._logged = 0
        self._bar: Progress | None = None

    def disable(self) -> None:
        self._enabled = False

    def enable(self) -> None:
        self._enabled = True

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not self._enabled or not self._console.is_terminal:
            return
        self._bar = Progress(
            TextColumn("[bold]train"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[metrics]}"),
            console=self._console,
        )
        steps = trainer.estimated_stepping_batches
        total = None if steps == float("inf") else int(steps)
        self._task = self._bar.add_task("", total=total, completed=trainer.global_step, metrics="")
        self._bar.start()

    def on_train_batch_end(self, trainer: L.Trainer, *unused: Any) -> None:
        # Reading a metric waits for the device, so only at the steps that are logged.
        step = trainer.global_step
        if not (self._enabled and is_logged(trainer)):
            return
        if self._bar is not None:
            self._bar.update(self._task, completed=step, metrics=_shown(trainer))
            return
        self._logged += 1
        if self._logged % self.lines_every == 0:
            self._console.print(f"step {step}  {_shown(trainer)}", highlight=False)

    def on_exception(self, *unused: Any) -> None:
        self._close()

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _shown(trainer: L.Trainer) -> str:
    metrics = trainer.callback_metrics
    return "  ".join(
        f"{name} {metrics[key].item():{form}}"
        for key, (name, form) in METRICS.items()
        if key in metrics and (key != "data/skipped" or metrics[key])
    )
