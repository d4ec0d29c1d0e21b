"""Images per second, and the share of time that waits for data."""

from __future__ import annotations

import time
from typing import Any

import lightning as L

from cyclip_pl.callbacks.cadence import is_logged
from cyclip_pl.data.loader import BatchLoader
from cyclip_pl.types import Batch


class Throughput(L.Callback):
    """Logs `train/images_per_second` (all ranks) and `train/data_wait` (0…1).

    Rates are means over the steps since they were last logged. Time is that of the steps and of
    waiting for batches. Evaluations and checkpoints do not count, so this callback comes first.
    On a GPU the host may run ahead of the device; over many steps both take the same time.

    Attributes:
        samples: Image-text pairs of this run so far, over all ranks.
        seconds: Wall time of the steps and of waiting for their batches.
            Both count from the run's first step: checkpoints keep them.
    """

    def __init__(self) -> None:
        self.samples = 0
        self._earlier = self._steps = self._waited = 0.0
        self._start = 0.0
        self._logged = (0.0, 0.0, 0)

    @property
    def seconds(self) -> float:
        return self._earlier + self._steps + self._waited

    def state_dict(self) -> dict[str, Any]:
        return {"samples": self.samples, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.samples, self._earlier = state_dict["samples"], state_dict["seconds"]
        self._logged = (self.seconds, 0.0, self.samples)

    def on_train_batch_start(self, *unused: Any) -> None:
        self._start = time.perf_counter()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Batch, *_: Any
    ) -> None:
        self._steps += time.perf_counter() - self._start
        loader = trainer.train_dataloader
        self._waited = loader.seconds_waited if isinstance(loader, BatchLoader) else 0.0
        self.samples += len(batch) * trainer.world_size
        if is_logged(trainer):
            now = (self.seconds, self._waited, self.samples)
            seconds, waited, samples = (
                new - old for new, old in zip(now, self._logged, strict=True)
            )
            self._logged = now
            pl_module.log("train/images_per_second", samples / seconds, batch_size=1)
            pl_module.log("train/data_wait", waited / seconds, batch_size=1)
