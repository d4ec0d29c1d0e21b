"""The checkpoint that a run can be resumed from."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Checkpoint

from cyclip_pl import checks
from cyclip_pl.callbacks.cadence import is_logged
from cyclip_pl.checkpoints.files import LAST, earlier_name, earlier_steps, step_of
from cyclip_pl.checkpoints.io import save_on_all
from cyclip_pl.checkpoints.places import folder
from cyclip_pl.checkpoints.shards import is_sharded
from cyclip_pl.files import reason
from cyclip_pl.strategy import FullySharded

logger = logging.getLogger(__name__)

_PROBE = ".writable"


class Last(Checkpoint):
    """Saves `last.ckpt` at a cadence, at the end, and when a signal stops the run (`Stop`).

    Exceptions save nothing: weights that have diverged must not replace good ones. The checkpoints
    before it stay as `step_<N>.ckpt`. A failed save is told and tried again at the next cadence.

    Args:
        dirpath: Folder of the checkpoints, or a URL that fsspec knows.
        every_n_steps: Optimiser steps between saves; None for no such cadence.
        every_n_minutes: Minutes of the first rank's clock since the last save, after which a save
            is due; with several ranks at the next step that is logged. None for no such cadence.
        keep: Number of checkpoints that stay, `last.ckpt` among them.
        sharded: Each rank writes what it holds: checkpoints are folders.

    Raises:
        ValueError: The last save of the training failed; or `sharded` where ranks hold no shards,
            or for a URL.
    """

    def __init__(
        self,
        dirpath: str | Path,
        every_n_steps: int | None,
        every_n_minutes: float | None = None,
        keep: int = 2,
        sharded: bool = False,
    ) -> None:
        checks.whole("callbacks.last.every_n_steps", every_n_steps, optional=True)
        checks.number("callbacks.last.every_n_minutes", every_n_minutes, above=0, optional=True)
        checks.whole("callbacks.last.keep", keep)
        try:
            self.folder = folder(dirpath)
        except ValueError as error:
            raise ValueError(f"callbacks.last.dirpath={error}") from error
        self.dirpath = dirpath
        self.path = self.folder.at(LAST)
        self.every_n_steps = every_n_steps
        self.every_n_minutes = every_n_minutes
        self.keep = keep
        self.sharded = sharded
        if sharded and isinstance(self.path, str):
            raise ValueError(
                f"callbacks.last.sharded=true: dirpath={dirpath} is a URL, and the ranks write into"
                " a folder; name one that they share, or leave sharded out"
            )
        self._saved_at: int | None = None
        self._tried = time.monotonic()

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if self.sharded and not isinstance(trainer.strategy, FullySharded):
            raise ValueError(
                "callbacks.last.sharded=true: each rank has all weights; set trainer=fsdp, or leave"
                " it out"
            )
        if not trainer.is_global_zero:
            return
        try:  # now, not after the first thousand steps
            self.folder.write(_PROBE, lambda file: None)
            self.folder.remove(_PROBE)
        except OSError as error:
            why = error.strerror or reason(error)
            raise ValueError(
                f"callbacks.last.dirpath={self.dirpath}: cannot be written: {why}"
            ) from error

    def on_train_start(self, *unused: Any) -> None:
        self._tried = time.monotonic()

    def on_train_batch_end(self, trainer: L.Trainer, *unused: Any) -> None:
        at_step = self.every_n_steps is not None and trainer.global_step % self.every_n_steps == 0
        if at_step or self._time_is_up(trainer):
            self.save(trainer)

    def on_train_end(self, trainer: L.Trainer, *unused: Any) -> None:
        if (problem := self._save(trainer)) is not None:
            raise ValueError(problem)

    def save(self, trainer: L.Trainer) -> bool:
        """Save at this step, unless that has been done; a collective under DDP.

        Returns:
            Whether `last.ckpt` is of this step; if not, a line has said why.
        """
        problem = self._save(trainer)
        if problem is not None and trainer.is_global_zero:
            logger.warning("%s", problem)
        return problem is None

    def _save(self, trainer: L.Trainer) -> str | None:
        step = trainer.global_step
        if self._saved_at == step:
            return None
        previous = self._name_of_previous(step) if trainer.is_global_zero else None
        if self.sharded:
            problem = save_on_all(trainer, self.path, storage_options={"keep": previous})
        else:
            self._keep_previous(previous)
            problem = save_on_all(trainer, self.path)
        self._tried = time.monotonic()
        if problem is not None:
            stands = "" if self._saved_at is None else f"; that of step {self._saved_at} stands"
            return f"{problem} (step {step}{stands})"
        self._saved_at = step
        if trainer.is_global_zero:
            self._remove_earlier(step)
        return None

    def _time_is_up(self, trainer: L.Trainer) -> bool:
        if self.every_n_minutes is None:
            return False
        if trainer.world_size > 1 and not is_logged(trainer):
            return False  # to agree costs the ranks a little time
        up = time.monotonic() - self._tried >= 60 * self.every_n_minutes
        return trainer.strategy.broadcast(up)

    def _name_of_previous(self, step: int) -> str | None:
        """The second name of `last.ckpt`; none if this step or a later one of another run is there.

        A folder cannot be replaced in one move. So it gets a name in any case, which may go when
        the new one has its own.
        """
        previous = step_of(self.path) if self._saved_at is None else self._saved_at
        if previous is None:
            return None
        needed = self.sharded or is_sharded(self.path)
        return earlier_name(previous) if needed or (self.keep > 1 and previous < step) else None

    def _keep_previous(self, name: str | None) -> None:
        """Give `last.ckpt` a second name; it keeps its own until the new one replaces it."""
        if name is None:
            return
        try:
            self.folder.keep(LAST, name)
        except OSError as error:
            logger.warning("%s: cannot be kept: %s", self.path, reason(error))

    def _remove_earlier(self, step: int) -> None:
        try:
            steps = earlier_steps(self.folder)
            kept = [s for s in steps if s < step][-(self.keep - 1) :] if self.keep > 1 else []
            for other in steps:
                if other not in kept:
                    self.folder.remove(earlier_name(other))
        except OSError as error:
            logger.warning("%s: older checkpoints stay: %s", self.path, reason(error))
