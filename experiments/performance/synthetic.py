"""Training batches that cost nothing to read, and the times at which they were requested."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import torch
from lightning import LightningDataModule

from cyclip_pl.data.settings import ValSource
from cyclip_pl.data.transfer import Transfer
from cyclip_pl.types import Batch


class Synthetic(LightningDataModule):
    """A few batches of random pixels and tokens, again and again, in place of a `DataModule`.

    Attributes:
        requested: When each batch was requested, in seconds; of the newest instance.
    """

    requested: list[float] = []
    max_skipped, val = None, ValSource()  # none is lost, and no held-out pairs

    def __init__(
        self,
        batches: int,
        batch_size: int,
        image_size: int,
        context_length: int,
        pin_memory: bool,
        views: Any,
        tokenizer: Any,
        seed: int,
    ) -> None:
        super().__init__()
        self.batches = batches
        self.made = random_batches(batch_size, image_size, context_length)
        if pin_memory:
            self.made = [batch.pin_memory() for batch in self.made]
        self.transfer = Transfer()

    def train_dataloader(self) -> Synthetic:
        return self

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, index: int) -> Batch:
        return self.transfer(batch, device)

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[Batch]:
        Synthetic.requested = []
        for n in range(self.batches):
            Synthetic.requested.append(time.perf_counter())
            yield self.made[n % len(self.made)]


def random_batches(batch_size: int, image_size: int, context_length: int) -> list[Batch]:
    """Four batches: uint8 images, and tokens of texts that fill half their context."""
    generator = torch.Generator().manual_seed(0)
    made = []
    for _ in range(4):
        shape = 1, batch_size, 3, image_size, image_size
        images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
        texts = torch.zeros(1, batch_size, context_length, dtype=torch.int64)
        words = texts[..., : context_length // 2]
        words.random_(1, 49406, generator=generator)
        words[..., 0], words[..., -1] = 49406, 49407  # start and end of text
        made.append(Batch(images, texts))
    return made
