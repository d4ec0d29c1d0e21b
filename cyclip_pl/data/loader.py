"""Batches in the training process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import torch
from torch.utils.data import DataLoader

from cyclip_pl import signals
from cyclip_pl.data.batches import Batches, Failure
from cyclip_pl.types import Batch


class BatchLoader:
    """One rank's batches, an epoch per iteration; its length is known.

    It is not a `DataLoader`, whose length a trainer would doubt and whose sampler it would replace.
    Only one iteration at a time is supported.

    Args:
        batches: Makes the batches.
        workers: Processes that make them, until `close`; 0 makes them in this process.
        prefetch: Batches that each worker makes ahead.
        pin_memory: Whether batches are in page-locked memory, if there is a GPU.
        epoch: Returns the number of the epoch; called when an iteration begins.

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
    ) -> None:
        self.seconds_waited = 0.0
        self.batches = batches
        self._workers = workers
        self._prefetch = prefetch
        self._pin_memory = pin_memory and torch.cuda.is_available()
        self._epoch = epoch
        self._loader: DataLoader[Batch | Failure] | None = None
        self._items: Iterator[Batch | Failure] = iter(())
        self._next: int | None = None  # the epoch that `_items` is about to begin

    def __len__(self) -> int:
        return self.batches.per_epoch()

    def __iter__(self) -> Iterator[Batch]:
        epoch = self._epoch()
        if epoch != self._next:
            # The first epoch, or the last one was left early.
            self._start(epoch)
        self._next = None
        for left in reversed(range(len(self))):
            start = time.perf_counter()
            with signals.interruptible():
                item = next(self._items)
            self.seconds_waited += time.perf_counter() - start
            if isinstance(item, Failure):
                self.close()
                raise ValueError(item.message)
            if left == 0:  # before the yield: a trainer may stop asking after the last batch
                self._next = epoch + 1
            yield item

    def close(self) -> None:
        """End the workers; the next iteration starts them again.

        Garbage collection would be slow: in a cycle (such as an exception and its frames) it may
        delete the queues first, and each worker needs seconds to notice.
        """
        self._items, self._loader, self._next = iter(()), None, None

    def _start(self, epoch: int) -> None:
        self.batches.start.fill_(epoch)
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
