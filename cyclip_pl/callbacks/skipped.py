"""How many samples the data lost, over all ranks, and when that is too many."""

from __future__ import annotations

import logging
import re
from collections import Counter
from typing import Any

import lightning as L

from cyclip_pl.callbacks.cadence import is_logged
from cyclip_pl.distributed import objects_of_all
from cyclip_pl.types import Batch

logger = logging.getLogger(__name__)

# A share is one of all samples so far, at least of an epoch, or of these if an epoch is longer: one
# broken shard among the first that are read says nothing about the others.
_LEAST = 1_000_000
_NOTICE = 0.05
_SHARDS = 3


class Skipped(L.Callback):
    """Logs `data/skipped`, the samples that all ranks have skipped, and says at the end which.

    Args:
        most: The share of lost samples above which the run stops (`data.max_skipped`); None: none.

    Attributes:
        samples: Samples that all ranks have trained on, at the last logged step.
        counts: Samples that they skipped, by cause.

    Raises:
        ValueError: On every rank, at a logged step or an epoch's end, when more are lost.
    """

    def __init__(self, most: float | None = None) -> None:
        self.most = most
        self.samples = 0
        self.counts: Counter[str] = Counter()
        self._shards: dict[str, list[str]] = {}
        self._noticed = False
        self._step = 0  # samples of all ranks per step
        # Of this rank, since the ranks last told one another.
        self._new_samples = 0
        self._new: Counter[str] = Counter()
        self._new_shards: dict[str, list[str]] = {}

    @property
    def metrics(self) -> dict[str, float]:
        """`train/skipped`, and `train/skipped/<cause>` for each cause."""
        causes = {re.sub(r"\W+", "_", cause): count for cause, count in self.counts.items()}
        by_cause = {f"train/skipped/{cause}": float(count) for cause, count in causes.items()}
        return {"train/skipped": float(self.counts.total()), **by_cause}

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Batch, *_: Any
    ) -> None:
        self._step = len(batch) * trainer.world_size
        self._new_samples += len(batch)
        self._new.update(batch.skipped)
        _add(self._new_shards, batch.skipped_in)
        if is_logged(trainer):
            self._sum()
            pl_module.log("data/skipped", float(self.counts.total()), batch_size=1)
            self._check(trainer)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._sum()
        self._check(trainer)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.counts and trainer.is_global_zero:
            logger.warning("skipped %s", self._described())

    def state_dict(self) -> dict[str, Any]:
        self._sum()
        return {
            "samples": self.samples,
            "counts": dict(self.counts),
            "shards": self._shards,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.samples = state_dict["samples"]
        self.counts = Counter(state_dict["counts"])
        self._shards = state_dict["shards"]

    def _sum(self) -> None:
        """Sum over ranks; all of them must call it."""
        for samples, counts, shards in objects_of_all(
            (self._new_samples, self._new, self._new_shards)
        ):
            self.samples += samples
            self.counts.update(counts)
            _add(self._shards, shards)
        self._new_samples, self._new, self._new_shards = 0, Counter(), {}

    def _check(self, trainer: L.Trainer) -> None:
        lost = self.counts.total()
        epoch = self._step * trainer.num_training_batches
        total = max(lost + self.samples, min(_LEAST, epoch))
        if self.most is not None and lost > self.most * total:
            raise ValueError(
                f"data.max_skipped={self.most}: skipped {self._described()}; mend the shards, or"
                " raise data.max_skipped"
            )
        if lost > _NOTICE * total and not self._noticed and trainer.is_global_zero:
            self._noticed = True
            logger.warning(
                "skipped %s; data.max_skipped=%s would stop here", self._described(), _NOTICE
            )

    def _described(self) -> str:
        total = self.counts.total()
        causes = []
        for cause, count in self.counts.most_common():
            shards = self._shards.get(cause, [])
            more = ", …" if len(shards) == _SHARDS else ""
            causes.append(f"{cause} {count:,} (in {', '.join(shards)}{more})")
        return f"{total:,} of {total + self.samples:,} samples: {', '.join(causes)}"


def _add(known: dict[str, list[str]], more: dict[str, list[str]]) -> None:
    for cause, shards in more.items():
        found = known.setdefault(cause, [])
        found += [shard for shard in shards if shard not in found][: _SHARDS - len(found)]
