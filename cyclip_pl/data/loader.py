"""Batches in the training process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import torch
from torch.utils.data import DataLoader

from cyclip_pl.data.batches import BatchStream, Failure
from cyclip_pl.types import Batch


class BatchLoader:
    """One rank's batches, an epoch for each iteration; its length is known.

    Not a `DataLoader` itself: a trainer would then doubt the length, and offer samplers. Iterate it
    once at a time.

    Args:
        stream: makes the batches.
        workers: processes that do; 0 for none. They live until `close`.
        prefetch: batches that each worker makes ahead.
        pin_memory: in page-locked memory, where there is a GPU to copy to.
        epoch: gives the number of the epoch, asked when its first batch is.

    Attributes:
        seconds_waited: wall time that the training process has spent waiting for batches.

    Raises:
        ValueError: on iteration, when the shards give no usable sample.
    """

    def __init__(
        self,
        stream: BatchStream,
        *,
        workers: int,
        prefetch: int,
        pin_memory: bool,
        epoch: Callable[[], int],
    ) -> None:
        self.seconds_waited = 0.0
        self._stream = stream
        self._workers = workers
        self._prefetch = prefetch
        self._pin_memory = pin_memory and torch.cuda.is_available()
        self._epoch = epoch
        self._loader: DataLoader[Batch | Failure] | None = None
        self._items: Iterator[Batch | Failure] = iter(())
        self._next: int | None = None  # the epoch that `_items` is about to begin

    def __len__(self) -> int:
        return self._stream.batches()

    def __iter__(self) -> Iterator[Batch]:
        epoch = self._epoch()
        if epoch != self._next:
            # The first one, or the one before was left early.
            self._start(epoch)
        self._next = None
        for left in reversed(range(len(self))):
            start = time.perf_counter()
            item = next(self._items)
            self.seconds_waited += time.perf_counter() - start
            if isinstance(item, Failure):
                self.close()
                raise ValueError(item.message)
            if left == 0:  # before the yield: a trainer need not ask for more than the last
                self._next = epoch + 1
            yield item

    def close(self) -> None:
        """End the workers; an iteration starts them again.

        Not left to garbage collection: in a cycle (such as an exception and the frames it names)
        the queues would go first, and each worker take seconds to notice.
        """
        self._items, self._loader, self._next = iter(()), None, None

    def _start(self, epoch: int) -> None:
        self._stream.start.fill_(epoch)
        if self._loader is None:
            self._loader = DataLoader(
                self._stream,
                batch_size=None,
                num_workers=self._workers,
                pin_memory=self._pin_memory,
                prefetch_factor=self._prefetch if self._workers else None,
                persistent_workers=self._workers > 0,
                # Workers are seeded from it, to no use: the model's own stream of random numbers
                # must not depend on how batches are read.
                generator=torch.Generator(),
            )
        self._items = iter(self._loader)
