"""A signal ends the training: after a step, on all ranks, with a checkpoint."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Checkpoint

from cyclip_pl import signals
from cyclip_pl.callbacks.last import Last
from cyclip_pl.distributed import Votes
from cyclip_pl.signals import Stopped

# Slurm's own default leaves 30 s between SIGTERM and SIGKILL, torchrun as well.
_SECONDS_TO_AGREE = 60.0


class Stop(Checkpoint):
    """Saves the last checkpoint when a signal ends the run, and says how to go on.

    A `Checkpoint`, so that Lightning calls it after all others: what they do after a step is then
    in the checkpoint. Ranks agree by the largest of their votes, looked at a step later, so that no
    step waits for a vote. Under Slurm, SIGUSR1 also puts the job back into the queue.

    Args:
        timeout: Of the vote, as of the strategy's collectives.
    """

    def __init__(self, timeout: timedelta | None = None) -> None:
        self._timeout = timeout
        self._votes: Votes | None = None
        self._began_at: int | None = None

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        # Lightning's handler of SIGTERM calls a collective wherever a step happens to be, and exits
        # with 0. Its handler for Slurm saves there.
        connector: Any = trainer
        connector._signal_connector.register_signal_handlers = lambda: None
        self._votes = Votes(self._timeout) if trainer.world_size > 1 else None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._began_at = trainer.global_step
        if self._votes is None:
            signals.defer(None, None)
        else:
            signals.defer(self._votes.now, _SECONDS_TO_AGREE)

    def on_train_batch_end(self, *unused: Any) -> None:
        signum = signals.requested()
        if self._votes is not None:
            signum = self._votes.of_last_call(signum)
        if signum:
            raise Stopped(signum)

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        if not isinstance(exception, Stopped) or self._began_at is None:
            return
        signals.agreed()
        began, step = self._began_at, trainer.global_step
        last = next((c for c in _callbacks(trainer) if isinstance(c, Last)), None)
        if step == began:
            more = f" before step {step + 1}; nothing to save"
        elif last is None:
            more = f" at step {step}; nothing saved, as callbacks.last is left out"
        elif last.save(trainer):
            more = f" at step {step}; to go on: resume={_place(last.path)}"
        else:
            more = f" at step {step}; not saved"
        if exception.signum == signal.SIGUSR1:
            more += _requeue(trainer)
        exception.tell(more)
        if self._votes is not None:
            # srun and torchrun end all ranks when the first one has ended.
            with suppress(RuntimeError):
                self._votes.now(0)

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        signals.undefer()


def _callbacks(trainer: L.Trainer) -> list[L.Callback]:
    return trainer.callbacks  # type: ignore[attr-defined]  # set by a connector


def _place(checkpoint: str | Path) -> str | Path:
    """The run folder, where the checkpoint is in one."""
    if isinstance(checkpoint, Path) and checkpoint.parent.name == "checkpoints":
        return checkpoint.parent.parent
    return checkpoint


def _requeue(trainer: L.Trainer) -> str:
    """Ask Slurm to start this job again, once; what became of it, for the line."""
    job = os.environ.get("SLURM_JOB_ID")
    by_submitit = "SUBMITIT_EXECUTOR" in os.environ  # it requeues its jobs itself, see jobs.py
    if job is None or by_submitit or not trainer.is_global_zero:
        return ""
    if "SLURM_ARRAY_JOB_ID" in os.environ:
        job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    try:
        subprocess.run(
            ["scontrol", "requeue", job], check=True, capture_output=True, text=True, timeout=30
        )
    except subprocess.CalledProcessError as error:
        return f"; scontrol requeue {job} failed: {' '.join(error.stderr.split())}"
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"; scontrol requeue {job} failed: {error}"
    return f"; job {job} is requeued"
