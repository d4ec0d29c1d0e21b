"""Where a run stands inside an epoch, and how to go on there."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from cyclip_pl.data.epochs import Epochs
from cyclip_pl.data.partition import batches_of_worker

RANKS, WORKERS, BATCH_SIZE = "processes", "data.workers", "data.batch_size"


class Drawn(NamedTuple):
    """Undecoded samples that a reader has drawn in this turn of its epoch, see `Epochs.samples`.

    Unusable samples are replaced by those that follow, so the number of batches does not tell it.

    Attributes:
        turn, samples: The turn, and how many of its samples.
        bucket_turn, bucket_samples: Where the bucket of captions that is open begins.
        given: How many of its batches were given; 0 if none is open.
    """

    turn: int = 0
    samples: int = 0
    bucket_turn: int = 0
    bucket_samples: int = 0
    given: int = 0

    @property
    def begin(self) -> Drawn:
        """Where reading begins to go on behind this position."""
        return Drawn(self.bucket_turn, self.bucket_samples) if self.given else self


class Position(NamedTuple):
    """One rank's place in an epoch: after `batch` of its batches, by worker."""

    batch: int = 0
    drawn: tuple[Drawn, ...] = ()

    def of(self, worker: int) -> Drawn:
        return self.drawn[worker] if self.drawn else Drawn()


def order(
    epochs: Epochs, seed: int, ranks: int, workers: int, bucket: int | None = None
) -> dict[str, int | str]:
    """All that the order of the samples depends on, by setting; equal orders are equal epochs."""
    contents = hashlib.blake2b(repr(epochs.contents()).encode(errors="replace"), digest_size=8)
    buckets = {"data.length_bucket": bucket} if bucket else {}
    return {
        **buckets,
        "seed": seed,
        RANKS: ranks,
        WORKERS: workers,
        BATCH_SIZE: epochs.batch_size,
        "data.shuffle.shards": epochs.shuffle.shards,
        "data.shuffle.buffer": epochs.shuffle.buffer,
        "data.train": contents.hexdigest(),
    }


def moved(state: Mapping[str, Any], here: Mapping[str, int | str]) -> tuple[dict[str, Any], str]:
    """A loader's `state_dict` as one with the order `here`, and in words what this cannot keep.

    In another order the epoch goes on behind as many samples as have been seen.
    """
    there = state["order"]
    changed = [name for name in {**there, **here} if there.get(name) != here.get(name)]
    if not changed:
        return dict(state), ""
    seen = state["batch"] * there[BATCH_SIZE] * there[RANKS]
    ranks, workers, size = (int(here[name]) for name in (RANKS, WORKERS, BATCH_SIZE))
    batch = seen // (size * ranks)
    drawn = [Drawn(0, batches_of_worker(batch, workers, w) * size) for w in range(workers)]
    position = {"epoch": state["epoch"], "batch": batch, "drawn": [drawn] * ranks}
    names = ", ".join(
        name if name == "data.train" else f"{name} {there.get(name)} → {here.get(name)}"
        for name in changed
    )
    lost = (
        f"resume: another order of the samples ({names}): epoch {state['epoch']} goes on behind "
        f"{batch * size * ranks} samples, but some of the rest come twice in it and others not"
    )
    return {**position, "order": dict(here)}, lost
