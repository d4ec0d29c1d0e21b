"""Batches in the training process."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch.utils.data import DataLoader

from cyclip_pl import signals
from cyclip_pl.data.batches import Batches, Failure
from cyclip_pl.data.position import Drawn, Position, moved
from cyclip_pl.distributed import objects_of_all
from cyclip_pl.types import Batch

logger = logging.getLogger(__name__)


class BatchLoader:
    """One rank's batches, an epoch per iteration; its length is known.

    It is not a `DataLoader`, whose length a trainer would doubt and whose sampler it would replace.
    Only one iteration at a time is supported. `state_dict` holds the position in the epoch; behind
    `load_state_dict`, the next iteration goes on there if it is of the same epoch.

    Args:
        batches: Makes the batches.
        workers: Processes that make them, until `close`; 0 makes them in this process.
        prefetch: Batches that each worker makes ahead.
        pin_memory: Whether batches are in page-locked memory, if there is a GPU.
        epoch: Returns the number of the epoch; called when an iteration begins.
        used: Returns how many batches of the epoch the training has used; None: all given ones.

    Attributes:
        seconds_waited: Wall time that the training process has spent waiting for batches.

    Raises:
        ValueError: On iteration, when the shards give no usable sample.
    """

    def __init__(
        self,
        batches: Batches,
        *,
        workers: int,
        prefetch: int,
        pin_memory: bool,
        epoch: Callable[[], int],
        used: Callable[[], int] | None = None,
    ) -> None:
        self.seconds_waited = 0.0
        self.batches = batches
        self._workers = workers
        self._prefetch = prefetch
        self._pin_memory = pin_memory and torch.cuda.is_available()
        self._epoch = epoch
        self._used = used
        self._order = batches.order(max(1, workers))
        self._loader: DataLoader[Batch | Failure] | None = None
        self._items: Iterator[Batch | Failure] = iter(())
        self._next: int | None = None  # the epoch that `_items` is about to begin
        self._loaded = False  # whether the next iteration begins at the position below
        # Of the last batch given: its epoch, the batches given, and each worker's position after
        # them; and the position that its worker had before.
        self._at, self._given = 0, 0
        self._drawn = [Drawn()] * max(1, workers)
        self._before = Drawn()

    def __len__(self) -> int:
        return self.batches.per_epoch()

    def __iter__(self) -> Iterator[Batch]:
        epoch = self._epoch()
        if self._loaded and epoch == self._at:
            self._start(epoch, Position(self._given, tuple(self._drawn)))
        else:
            if epoch != self._next:
                # The first epoch, or the last one was left early.
                self._start(epoch, Position())
            self._at, self._given, self._drawn = epoch, 0, [Drawn()] * len(self._drawn)
        self._next, self._loaded = None, False
        for batch in range(self._given, len(self)):
            start = time.perf_counter()
            with signals.interruptible():
                item = next(self._items)
            self.seconds_waited += time.perf_counter() - start
            if isinstance(item, Failure):
                self.close()
                raise ValueError(item.message)
            worker = batch % len(self._drawn)
            self._before, self._drawn[worker] = self._drawn[worker], Drawn(*item.drawn)
            self._given = batch + 1
            if self._given == len(self):
                # Before the yield: a trainer may stop asking after the last batch.
                self._next = epoch + 1
            yield item

    def state_dict(self) -> dict[str, Any]:
        """The position in the epoch, of all ranks; every rank must call it."""
        batch, drawn = self._given, list(self._drawn)
        if self._used is not None and self._used() == batch - 1:
            # Within a step: its batch comes again.
            batch -= 1
            drawn[batch % len(drawn)] = self._before
        drawn_of_all = objects_of_all([tuple(position) for position in drawn])
        return {"epoch": self._at, "batch": batch, "drawn": drawn_of_all, "order": self._order}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on at this position; a warning says what another order of the samples cannot keep."""
        state, lost = moved(state_dict, self._order)
        if lost and self.batches.rank == 0:
            logger.warning(lost)
        self._at, self._given, self._loaded = state["epoch"], state["batch"], True
        self._drawn = [Drawn(*drawn) for drawn in state["drawn"][self.batches.rank]]

    def close(self) -> None:
        """End the workers; the next iteration starts them again.

        Garbage collection would be slow: in a cycle (such as an exception and its frames) it may
        delete the queues first, and each worker needs seconds to notice.
        """
        self._items, self._loader, self._next = iter(()), None, None

    def _start(self, epoch: int, position: Position) -> None:
        self.batches.start.fill_(epoch)
        if position != self.batches.position:
            self._loader = None  # its workers have a copy
            self.batches.position = position
        if self._loader is None:
            self._loader = DataLoader(
                self.batches,
                batch_size=None,
                num_workers=self._workers,
                pin_memory=self._pin_memory,
                prefetch_factor=self._prefetch if self._workers else None,
                persistent_workers=self._workers > 0,
                worker_init_fn=signals.obey_main_process,
                # Its own, so that seeding the workers does not draw from the model's generator.
                generator=torch.Generator(),
            )
        with signals.blocked():
            self._items = iter(self._loader)
