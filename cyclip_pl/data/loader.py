"""Batches in the training process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import torch
from torch.utils.data import DataLoader

from cyclip_pl.data.dataset import BatchStream, Failure
from cyclip_pl.types import Batch


class BatchLoader:
    """One rank's batches, an epoch for each iteration; its length is known.

    Not a `DataLoader` itself: a trainer would then doubt the length, and offer samplers.

    Args:
        dataset: makes the batches.
        workers: processes that do; 0 for none.
        prefetch: batches that each worker makes ahead.
        pin_memory: in page-locked memory, where there is a GPU to copy to.
        epoch: gives the number of the epoch that an iteration is about to start.

    Raises:
        ValueError: on iteration, when the shards give no usable sample.

    Attributes:
        seconds_waited: wall time that training has spent waiting for batches.
    """

    def __init__(
        self,
        dataset: BatchStream,
        *,
        workers: int,
        prefetch: int,
        pin_memory: bool,
        epoch: Callable[[], int],
    ) -> None:
        self.dataset = dataset
        self.seconds_waited = 0.0
        self._epoch = epoch
        self._items: Iterator[Batch | Failure] = iter(())
        self._next: int | None = None  # the epoch that `_items` is about to begin
        self._loader: DataLoader[Batch | Failure] = DataLoader(
            dataset,
            batch_size=None,
            num_workers=workers,
            pin_memory=pin_memory and torch.cuda.is_available(),
            prefetch_factor=prefetch if workers else None,
            persistent_workers=workers > 0,
            # The loader seeds its workers from this, unused here: the model's own stream of random
            # numbers must not depend on how batches are read.
            generator=torch.Generator(),
        )

    def __len__(self) -> int:
        return self.dataset.batches()

    def __iter__(self) -> Iterator[Batch]:
        epoch = self._epoch()
        if epoch != self._next:
            # The first one, or the one before was left early.
            self.dataset.start.fill_(epoch)
            self._items = iter(self._loader)
        self._next = None
        return self._one_epoch(epoch)

    def _one_epoch(self, epoch: int) -> Iterator[Batch]:
        for left in reversed(range(len(self))):
            start = time.perf_counter()
            item = next(self._items)
            self.seconds_waited += time.perf_counter() - start
            if isinstance(item, Failure):
                raise ValueError(item.message)
            if left == 0:  # before the yield: a trainer need not ask for more than the last
                self._next = epoch + 1
            yield item
