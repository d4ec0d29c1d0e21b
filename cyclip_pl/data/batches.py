"""Shards → batches, inside the loader's workers."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count, islice

import torch
from torch.utils.data import IterableDataset, default_collate, get_worker_info

from cyclip_pl.data.decode_cache import DecodeCache
from cyclip_pl.data.decoder import Decoder
from cyclip_pl.data.epochs import Epochs, NothingToRead, Reader
from cyclip_pl.data.partition import batches_of_worker
from cyclip_pl.data.position import Drawn, Position
from cyclip_pl.data.seeds import generator
from cyclip_pl.data.shard_reader import RawSample, ShardReader
from cyclip_pl.data.skipped import SkipCounter, SkippedSample, of_unknown_size
from cyclip_pl.data.tokens import CachedTokenizer, Tokenizer
from cyclip_pl.data.urls import name_all
from cyclip_pl.data.views.base import ViewedSample, Views
from cyclip_pl.images import Undecodable
from cyclip_pl.types import Batch

# Shards with less than 1 % usable samples are an error, raised after this many unusable ones.
_PATIENCE = 2000
_LEAST_USABLE = 0.01


@dataclass(frozen=True)
class Failure:
    """A worker's error as an item: raised in the worker, it would come with two stack traces."""

    message: str


class Batches(IterableDataset["Batch | Failure"]):
    """One rank's batches, from epoch `start` on and without end; an epoch is `per_epoch()` of them.

    The first epoch begins at `position`: what lies before it is read, but not decoded.

    A worker begins the next epoch while batches of the last one still wait; otherwise every epoch
    would begin with filling shuffle buffers. The loader takes items from its workers in turn. The
    content of an epoch's batch i depends on i alone, through `Reader.worker`.

    Args:
        epochs: Undecoded samples.
        decoder: Bytes → image and captions.
        views: Image and captions → views.
        tokenizer: Captions → tokens.
        keep: Whether each worker keeps samples and decoded images in memory; for small shards.
        broken: Shards that cannot be read to their ends, with the cause and the reason. Counting
            found out: more samples may be lost than were counted.
    """

    def __init__(
        self,
        epochs: Epochs,
        decoder: Decoder,
        views: Views,
        tokenizer: Tokenizer,
        *,
        batch_size: int,
        seed: int,
        rank: int = 0,
        ranks: int = 1,
        keep: bool = False,
        broken: Mapping[str, tuple[str, str]] | None = None,
    ) -> None:
        self.epochs = epochs
        self.decoder = decoder
        self.views = views
        self.tokenizer = CachedTokenizer(tokenizer)
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.ranks = ranks
        self.broken = broken or {}
        # In shared memory: persistent workers keep their copy of everything else.
        self.start = torch.zeros((), dtype=torch.int64).share_memory_()
        self.position = Position()
        self._skipped = SkipCounter()
        self._decode = DecodeCache(decoder) if keep else decoder
        self._read_shard = ShardReader(decoder.caption_extension, keep)

    def per_epoch(self) -> int:
        """Batches of this rank per epoch, over all its workers; the same on every rank."""
        return self.epochs.batches(self.ranks)

    def __iter__(self) -> Iterator[Batch | Failure]:
        info = get_worker_info()
        process, workers = (0, 1) if info is None else (info.id, info.num_workers)
        start, position = int(self.start), self.position
        try:
            for epoch in count(start):
                given = (epoch - start) * self.per_epoch() - self.position.batch
                worker = (process - given) % workers
                reader = Reader(self.seed, epoch, self.rank, self.ranks, worker, workers)
                yield from self._epoch(reader, position)
                position = Position()
        except NothingToRead as error:
            yield Failure(str(error))

    def _epoch(self, reader: Reader, position: Position) -> Iterator[Batch]:
        if reader.rank == reader.worker == position.batch == 0:
            for url, (cause, problem) in self.broken.items():
                self._skipped.add(of_unknown_size(cause), url, problem)
        quota = batches_of_worker(self.per_epoch(), reader.workers, reader.worker)
        made = batches_of_worker(position.batch, reader.workers, reader.worker)
        samples = self._viewed(reader, quota * self.batch_size, position.of(reader.worker))
        for _ in range(made, quota):
            yield self._batch(list(islice(samples, self.batch_size)))

    def _viewed(
        self, reader: Reader, wanted: int, drawn: Drawn
    ) -> Iterator[tuple[str, ViewedSample, Drawn]]:
        """Endless usable samples behind `drawn`, with names and the reader's position after each.

        If some are unusable, the reader begins again.
        """
        for turn in count(drawn.turn):
            before = drawn.samples if turn == drawn.turn else 0
            usable, unusable = before, 0
            found: dict[str, None] = {}
            # What is read again was counted already.
            skipped = SkipCounter(quiet=True) if turn else self._skipped
            raw_samples = self.epochs.samples(reader, turn, self._read_shard, skipped)
            if before:
                deque(islice(raw_samples, before), maxlen=0)
                self._skipped.take()  # counted before the checkpoint
                self._skipped.take_shards()
            for number, raw in enumerate(raw_samples, before + 1):
                try:
                    viewed = self._view(raw, reader)
                except (SkippedSample, Undecodable) as error:
                    lost = error.count if isinstance(error, SkippedSample) else 1
                    skipped.add(error.reason, raw.url, str(error), lost, sample=raw.key)
                    unusable += 1
                    found.update(dict.fromkeys(raw.members))
                    if unusable >= _PATIENCE and usable < _LEAST_USABLE * unusable:
                        raise NothingToRead(self._nothing(usable, found)) from None
                    continue
                usable += 1
                yield raw.name, viewed, Drawn(turn, number)
            if usable < max(1, _LEAST_USABLE * wanted):
                raise NothingToRead(self._nothing(usable, found))

    def _view(self, raw: RawSample, reader: Reader) -> ViewedSample:
        # A function of the sample, not of the reader.
        rng = generator("sample", reader.seed, reader.epoch, raw.name, raw.draw)
        return self.views(*self._decode(raw), rng)

    def _nothing(self, usable: int, found: dict[str, None]) -> str:
        share = f"only {usable} usable" if usable else "no usable"
        members = " ".join(f".{name}" for name in list(found)[:8]) or "no members"
        return (
            f"data.train.shards: {share} sample in {name_all(self.epochs.urls)}: "
            f"{self._skipped.describe()}; found {members}; expected {self.decoder.expects()}"
        )

    def _batch(self, drawn: list[tuple[str, ViewedSample, Drawn]]) -> Batch:
        keys, samples = [name for name, _, _ in drawn], [sample for _, sample, _ in drawn]
        views, text_views = self.views.image_views, self.views.text_views
        texts = [sample.texts[view] for view in range(text_views) for sample in samples]
        # Collated in memory that the worker shares with the training process.
        images = [sample.images[view] for view in range(views) for sample in samples]
        augmentations = [s.augmentation for s in samples if s.augmentation is not None]
        return Batch(
            images=default_collate(images).view(views, len(samples), *images[0].shape),
            texts=self.tokenizer(texts).view(text_views, len(samples), -1),
            augmentation=torch.stack(augmentations, dim=1) if augmentations else None,
            skipped=self._skipped.take(),
            skipped_in=self._skipped.take_shards(),
            keys=keys,
            drawn=drawn[-1][2],
        )
