"""Shards → batches, inside the loader's workers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import chain, count, islice
from typing import NamedTuple

import torch
from torch.utils.data import IterableDataset, default_collate, get_worker_info

from cyclip_pl.data.buckets import CLOSED, Buckets, Open
from cyclip_pl.data.captions import caption_id
from cyclip_pl.data.decode_cache import DecodeCache
from cyclip_pl.data.decoder import Decoder
from cyclip_pl.data.epochs import Epochs, NothingToRead, Reader
from cyclip_pl.data.partition import batches_of_worker
from cyclip_pl.data.position import Drawn, Position, order
from cyclip_pl.data.seeds import generator
from cyclip_pl.data.shard_reader import RawSample, ShardReader
from cyclip_pl.data.skipped import SkipCounter, SkippedSample, of_unknown_size
from cyclip_pl.data.stream import Item, Stream
from cyclip_pl.data.tokens import CachedTokenizer, TextLength, Tokenizer
from cyclip_pl.data.views.base import ViewedSample, Views
from cyclip_pl.images import Undecodable
from cyclip_pl.types import Batch


@dataclass(frozen=True)
class Failure:
    """A worker's error as an item: raised in the worker, it would come with two stack traces."""

    message: str


class Row(NamedTuple):
    """A sample of a batch: its name, see `caption_id`, and its views."""

    name: str
    caption_id: int
    viewed: ViewedSample


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
        text_length: Tokens (K, L) → how many of each row count (K,); None pads all to L.
        bucket: Batches that are sorted by the length of their captions together; needs
            `text_length`. None for no sorting.
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
        text_length: TextLength | None = None,
        bucket: int | None = None,
        keep: bool = False,
        broken: Mapping[str, tuple[str, str]] | None = None,
    ) -> None:
        self.epochs = epochs
        self.decoder = decoder
        self.views = views
        self.tokenizer = CachedTokenizer(tokenizer, text_length)
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.ranks = ranks
        self.buckets = Buckets(bucket, batch_size, self.tokenizer.length) if bucket else None
        self.broken = broken or {}
        # In shared memory: persistent workers keep their copy of everything else.
        self.start = torch.zeros((), dtype=torch.int64).share_memory_()
        self.position = Position()
        self._skipped = SkipCounter()
        self._decode = DecodeCache(decoder) if keep else decoder
        self._read_shard = ShardReader(decoder.captions.members, keep)

    def per_epoch(self) -> int:
        """Batches of this rank per epoch, over all its workers; the same on every rank."""
        return self.epochs.batches(self.ranks)

    def order(self, workers: int) -> dict[str, int | str]:
        """As `position.order`, for this number of workers."""
        bucket = self.buckets.size if self.buckets else None
        return order(self.epochs, self.seed, self.ranks, workers, bucket)

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
        left = quota - batches_of_worker(position.batch, reader.workers, reader.worker)
        drawn = position.of(reader.worker)
        stream = Stream(
            self.epochs,
            reader,
            self._read_shard,
            wanted=quota * self.batch_size,
            skipped=self._skipped,
            expected=self.decoder.expects(),
            drawn=drawn.begin,
        )
        with closing(stream):
            for planned, opened in self._plan(reader, stream, drawn, left):
                usable = self._viewed(reader, stream, planned)
                batch = self._batch(list(islice(usable, self.batch_size)))
                batch.drawn = Drawn(*stream.drawn[:2], *opened)
                yield batch

    def _plan(
        self, reader: Reader, stream: Stream, drawn: Drawn, wanted: int
    ) -> Iterable[tuple[list[Item], Open]]:
        """As `Buckets.plan`; without buckets, the stream's next samples, a batch at a time.

        A batch is read before it is decoded: in turns, each would find the caches full of the
        other's data.
        """
        if self.buckets is None:
            return ((list(islice(stream, self.batch_size)), CLOSED) for _ in range(wanted))
        return self.buckets.plan(stream, reader, partial(self._caption, reader), drawn, wanted)

    def _viewed(self, reader: Reader, stream: Stream, planned: list[Item]) -> Iterator[Row]:
        """Endless usable samples: those planned, then the stream's."""
        for item in chain(planned, stream):
            try:
                row = self._view(reader, item[0])
            except (SkippedSample, Undecodable) as error:
                stream.lose(item, error)
                continue
            yield row

    def _view(self, reader: Reader, raw: RawSample) -> Row:
        image, found = self._decode(raw)
        drawn = self.buckets is not None or len(self.decoder.captions.weights) > 1
        captions = [self._drawn(reader, raw, found)] if drawn else next(iter(found.values()))
        # A function of the sample, not of the reader.
        rng = generator("sample", reader.seed, reader.epoch, raw.name, raw.draw)
        return Row(raw.name, caption_id(found), self.views(image, captions, rng))

    def _caption(self, reader: Reader, raw: RawSample) -> str:
        return self._drawn(reader, raw, self.decoder.parts(raw)[1])

    def _drawn(self, reader: Reader, raw: RawSample, found: dict[str, list[str]]) -> str:
        rng = generator("caption", reader.seed, reader.epoch, raw.name, raw.draw)
        return self.decoder.captions.draw(found, rng)

    def _batch(self, rows: list[Row]) -> Batch:
        keys, caption_ids, samples = zip(*rows, strict=True)
        views, text_views = self.views.image_views, self.views.text_views
        texts = [sample.texts[view] for view in range(text_views) for sample in samples]
        # Collated in memory that the worker shares with the training process; rows of pixels, as
        # they were decoded and as convolutions take them.
        images = default_collate(
            [sample.images[view].permute(1, 2, 0) for view in range(views) for sample in samples]
        )
        augmentations = [s.augmentation for s in samples if s.augmentation is not None]
        return Batch(
            images=images.view(views, len(samples), *images.shape[1:]).permute(0, 1, 4, 2, 3),
            texts=self.tokenizer(texts).view(text_views, len(samples), -1),
            augmentation=torch.stack(augmentations, dim=1) if augmentations else None,
            skipped=self._skipped.take(),
            skipped_in=self._skipped.take_shards(),
            keys=list(keys),
            caption_ids=torch.tensor([caption_ids]),
        )
