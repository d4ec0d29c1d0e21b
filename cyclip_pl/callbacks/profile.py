"""The table of `trainer.profiler`, which Lightning hands to a log that is silent here."""

from __future__ import annotations

import lightning as L


class ProfileTable(L.Callback):
    """Prints it at the end, unless the profiler writes a file of its own."""

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        profiler = trainer.profiler  # type: ignore[attr-defined]  # set by a connector
        if trainer.is_global_zero and profiler.filename is None and (table := profiler.summary()):
            print(table)
