"""The steps at which metrics are logged."""

from __future__ import annotations

import lightning as L


def is_logged(trainer: L.Trainer) -> bool:
    """Whether the step that just ended is one of every `trainer.log_every_n_steps`."""
    every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]  # set by a connector
    return trainer.global_step % every == 0
