"""Held-out samples in an order that depends neither on ranks nor on workers."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice

from PIL import Image

from cyclip_pl.data.batches import Batches, Row
from cyclip_pl.data.epochs import MISSING, ExactEpochs, Reader, Shards
from cyclip_pl.data.partition import batches_of_worker
from cyclip_pl.data.position import Position
from cyclip_pl.data.seeds import generator
from cyclip_pl.data.settings import Shuffle, ValSource
from cyclip_pl.data.shard_reader import BrokenShard, RawSample, ShardReader
from cyclip_pl.data.shard_sizes import shard_sizes
from cyclip_pl.data.skipped import SkipCounter, SkippedSample
from cyclip_pl.data.urls import missing
from cyclip_pl.distributed import objects_of_all, rank, world_size
from cyclip_pl.images import Undecodable
from cyclip_pl.types import Batch

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FixedOrder(ExactEpochs):
    """Every sample once, in the order of the shards; each rank takes a part of every global batch.

    Global batch b is the samples from b·B on, and rank r of R has the r-th of its R parts. So a
    reader reads through all shards and keeps what is its own.
    """

    def batches(self, ranks: int) -> int:
        """Batches of each rank, the last incomplete one among them."""
        return -(-self.length() // (ranks * self.batch_size))

    def samples(
        self, reader: Reader, turn: int, read_shard: ShardReader, skipped: SkipCounter
    ) -> Iterator[RawSample]:
        return self.in_order(reader, turn, read_shard, skipped)

    def in_order(
        self, reader: Reader, turn: int, read_shard: ShardReader, skipped: SkipCounter
    ) -> Iterator[RawSample]:
        """As many as were counted: in place of one that a shard lacks stands one with a fault."""
        start = 0
        for url, size in zip(self.urls, self.shards.sizes, strict=True):
            places = range(size or 0)
            own = deque(place for place in places if self._is_own(reader, start + place))
            start += len(places)
            if own:
                yield from self._of_shard(url, own, len(places), read_shard)

    def _is_own(self, reader: Reader, place: int) -> bool:
        batch, within = divmod(place, self.batch_size * reader.ranks)
        turn = batch % reader.workers
        return turn == reader.worker and within // self.batch_size == reader.rank

    def _of_shard(
        self, url: str, places: deque[int], size: int, read_shard: ShardReader
    ) -> Iterator[RawSample]:
        cause, problem = MISSING, f"it holds fewer than the {size} samples counted"
        try:
            with closing(read_shard(url, "")) as whole:
                for place, sample in enumerate(whole):
                    if place == places[0]:
                        places.popleft()
                        yield sample
                        if not places:
                            return
        except BrokenShard as error:
            cause, problem = error.cause, str(error)
        for _ in places:
            yield RawSample("", url, None, {}, (), fault=(cause, problem, 1))


class HeldOutBatches(Batches):
    """One rank's parts of the global batches, all of one size.

    A blank row stands where a sample cannot be used and behind the last sample; its key is empty.
    """

    def _epoch(self, reader: Reader, position: Position) -> Iterator[Batch]:
        samples = self._rows(reader)
        quota = batches_of_worker(self.per_epoch(), reader.workers, reader.worker)
        for _ in range(batches_of_worker(position.batch, reader.workers, reader.worker), quota):
            yield self._batch(list(islice(samples, self.batch_size)))

    def _rows(self, reader: Reader) -> Iterator[Row]:
        # `Validation` reports losses once; here each worker would report them at each validation.
        self._skipped = SkipCounter(quiet=True)
        image = Image.new("RGB", (64, 64))
        blank = Row("", 0, self.views(image, ["blank"], generator("blank")))
        for raw in self.epochs.samples(reader, 0, self._read_shard, self._skipped):
            row = blank
            try:
                row = self._view(reader, raw)
            except (SkippedSample, Undecodable) as error:
                self._skipped.add(error.reason, raw.url, str(error))
            yield row
        while True:
            yield blank


def open_order(
    source: ValSource, ranks: int, trained_on: Iterable[str], read_shard: ShardReader, pipes: bool
) -> FixedOrder | None:
    """The order of the held-out samples, None if there are none; every rank must call it.

    Args:
        trained_on: Shards of the training.
        pipes: Whether shards may be commands.

    Raises:
        ValueError: Shards that are missing or trained on, or a batch that cannot be made of them.
    """
    urls, size = source.urls(pipes), source.batch_size
    if not urls:
        return None
    if absent := missing(urls):
        raise ValueError(
            f"data.val.shards: {absent[0]!r} does not exist ({len(absent)} of {len(urls)} missing)"
        )
    if shared := sorted(set(urls) & set(trained_on)):
        raise ValueError(
            f"data.val.shards: {shared[0]!r} is one of data.train.shards; held-out samples must"
            " not be trained on"
        )
    if size % ranks:
        raise ValueError(
            f"data.val.batch_size={size}: must be a multiple of the {ranks} processes, which share"
            f" each batch; set {size - size % ranks or ranks}"
        )
    shards = Shards(urls, _sizes(urls, read_shard))
    if (total := shards.total or 0) < size:
        raise ValueError(
            f"data.val.batch_size={size}: is more than the {total} samples of data.val.shards;"
            " lower it"
        )
    if rank() == 0:
        logger.info(
            "%d held-out shards, %d batches of %d samples; the last %d samples are left out",
            *(len(urls), total // size, size, total % size),
        )
    return FixedOrder(shards=shards, batch_size=size // ranks, shuffle=Shuffle(False, 1))


def _sizes(urls: Sequence[str], read_shard: ShardReader) -> tuple[int, ...]:
    """Samples of each shard; the ranks divide the reading of those that nobody has counted."""
    known = {url: size.samples for url, size in zip(urls, shard_sizes(urls), strict=True)}
    unknown = [url for url, size in known.items() if size is None]
    mine = {url: _counted(url, read_shard) for url in unknown[rank() :: world_size()]}
    for counted in objects_of_all(mine):
        known |= counted
    return tuple(known[url] or 0 for url in urls)


def _counted(url: str, read_shard: ShardReader) -> int:
    count = 0
    try:
        for _ in read_shard(url, ""):
            count += 1
    except BrokenShard as error:
        logger.warning("data.val.shards: %s: %s", url, error)
    return count
