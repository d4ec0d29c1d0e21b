"""The undecoded samples of one reader, in order: exact epochs, or shards drawn with replacement.

A reader is one worker of one rank. The order depends on (seed, epoch, rank, worker) alone.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from bisect import bisect
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import accumulate, count, islice
from typing import Any

import numpy as np

from cyclip_pl.data.partition import even, pieces, range_of_worker
from cyclip_pl.data.seeds import generator
from cyclip_pl.data.settings import Shuffle
from cyclip_pl.data.shard_reader import BrokenShard, RawSample, ShardReader
from cyclip_pl.data.shuffle import shuffled
from cyclip_pl.data.skipped import SkipCounter, of_unknown_size

# What is counted where a shard that reads to its end holds less than was counted.
MISSING = "missing sample"
# What is counted where it holds more.
UNCOUNTED = "uncounted sample"
# Shards in a row without a sample, before reading stops with an error.
_FRUITLESS = 16


class NothingToRead(Exception):
    """The shards give no sample; the text is one line for the user."""


@dataclass(frozen=True)
class Reader:
    """One worker of one rank, in one epoch."""

    seed: int
    epoch: int
    rank: int = 0
    ranks: int = 1
    worker: int = 0
    workers: int = 1

    def generator(self, purpose: str, *parts: int) -> np.random.Generator:
        """Random numbers of this reader alone."""
        return generator(purpose, self.seed, self.epoch, self.rank, self.worker, *parts)


@dataclass(frozen=True)
class Shards:
    """Shards of one source, and how many samples each holds (None: unknown)."""

    urls: tuple[str, ...]
    sizes: tuple[int | None, ...]

    @property
    def total(self) -> int | None:
        """Samples of all shards, if known."""
        known = [size for size in self.sizes if size is not None]
        return sum(known) if len(known) == len(self.sizes) else None

    @property
    def contents(self) -> tuple[Any, ...]:
        """Names and sizes: the same wherever the shards are kept."""
        return tuple(map(os.path.basename, self.urls)), self.sizes


@dataclass(frozen=True, kw_only=True)
class Epochs(ABC):
    """Which samples an epoch has, and their order; batches are those of one rank."""

    batch_size: int
    shuffle: Shuffle

    @property
    @abstractmethod
    def urls(self) -> Sequence[str]: ...

    @abstractmethod
    def contents(self) -> tuple[Any, ...]:
        """What the order depends on besides the reader, the batch size and the shuffle."""

    @abstractmethod
    def length(self) -> int:
        """Samples per epoch over all ranks, before incomplete batches are left out."""

    @abstractmethod
    def in_order(
        self, reader: Reader, turn: int, read_shard: ShardReader, skipped: SkipCounter
    ) -> Iterator[RawSample]:
        """As `samples`, before the shuffle buffer."""

    def batches(self, ranks: int) -> int:
        """Batches of each rank per epoch."""
        return self.length() // ranks // self.batch_size

    def samples(
        self, reader: Reader, turn: int, read_shard: ShardReader, skipped: SkipCounter
    ) -> Iterator[RawSample]:
        """A reader's samples, shuffled; `skipped` counts those of broken shards.

        `turn` is 0; then 1, 2, … if the samples of the earlier turns were not enough.
        """
        raw = self.in_order(reader, turn, read_shard, skipped)
        return shuffled(raw, self.shuffle.buffer, reader.generator("buffer", turn))


@dataclass(frozen=True)
class ExactEpochs(Epochs):
    """Every sample once per epoch, except the last incomplete batch."""

    shards: Shards

    @property
    def urls(self) -> Sequence[str]:
        return self.shards.urls

    def contents(self) -> tuple[Any, ...]:
        return self.shards.contents

    def length(self) -> int:
        assert self.shards.total is not None
        return self.shards.total

    def in_order(
        self, reader: Reader, turn: int, read_shard: ShardReader, skipped: SkipCounter
    ) -> Iterator[RawSample]:
        sizes = [size or 0 for size in self.shards.sizes]
        order: Sequence[int] = range(len(sizes))
        if self.shuffle.shards:
            # The same for all readers, who divide it.
            rng = generator("shards", reader.seed, reader.epoch)
            order = rng.permutation(len(sizes)).tolist()
        start, stop = range_of_worker(
            range(*even(self.length(), reader.ranks, reader.rank)),
            self.batches(reader.ranks),
            self.batch_size,
            reader.workers,
            reader.worker,
        )
        for shard, first, end in pieces(order, sizes, start, stop):
            url, size, read = self.urls[shard], sizes[shard], first
            cause, problem = MISSING, f"it holds fewer than the {size} samples counted"
            try:
                with closing(read_shard(url, str(turn))) as whole:
                    for sample in islice(whole, first, end):
                        yield sample
                        read += 1
                    uncounted = sum(1 for _ in whole) if read == size else 0
                if uncounted:
                    detail = f"it holds {size + uncounted} samples, {size} were counted"
                    skipped.add(UNCOUNTED, url, detail, uncounted)
            except BrokenShard as error:
                cause, problem = error.cause, str(error)
            if read < end:
                skipped.add(cause, url, problem, end - read)


@dataclass(frozen=True)
class ResampledEpochs(Epochs):
    """Shards drawn with replacement, each read whole.

    The source of each sample is drawn by weight, so that the sizes of shards do not change the
    shares; within a source all shards are equally likely. An epoch begins inside its first shard,
    at a random sample if sizes are known. Otherwise short epochs would never reach a shard's end.

    Attributes:
        sources: What to draw from.
        weights: The expected share of each source in the samples, not normalised.
        samples_per_epoch: Over all ranks.
    """

    sources: tuple[Shards, ...]
    weights: tuple[float, ...]
    samples_per_epoch: int

    @property
    def urls(self) -> Sequence[str]:
        return [url for source in self.sources for url in source.urls]

    def contents(self) -> tuple[Any, ...]:
        sources = tuple(source.contents for source in self.sources)
        return sources, self.weights, self.samples_per_epoch

    def length(self) -> int:
        return self.samples_per_epoch

    def in_order(
        self, reader: Reader, turn: int, read_shard: ShardReader, skipped: SkipCounter
    ) -> Iterator[RawSample]:
        endless = [
            self._endless(reader, index, read_shard, skipped) for index in range(len(self.sources))
        ]
        if len(endless) == 1:
            yield from endless[0]
        rng, bounds = reader.generator("source"), list(accumulate(self.weights))
        while True:
            drawn = bisect(bounds, rng.random() * bounds[-1])
            yield next(endless[min(drawn, len(endless) - 1)])

    def _endless(
        self, reader: Reader, index: int, read_shard: ShardReader, skipped: SkipCounter
    ) -> Iterator[RawSample]:
        source, rng = self.sources[index], reader.generator("draws", index)
        usable = [i for i, size in enumerate(source.sizes) if size != 0]
        fruitless, most = 0, min(_FRUITLESS, 2 * len(usable))
        for draw in count():
            shard, start = usable[int(rng.random() * len(usable))], 0
            if draw == 0 and source.total is not None:
                # A random sample, not shard: as if the reader had begun long ago.
                bounds = list(accumulate(size or 0 for size in source.sizes))
                sample_index = int(rng.random() * bounds[-1])
                shard = bisect(bounds, sample_index)
                start = sample_index - (bounds[shard - 1] if shard else 0)
            url, size, read = source.urls[shard], source.sizes[shard], start
            name = f"{reader.rank}.{reader.worker}.{index}.{draw}"
            cause, broken = MISSING, False
            problem = f"it holds fewer than {size} samples" if size else "it holds no sample"
            try:
                with closing(read_shard(url, name)) as whole:
                    for sample in islice(whole, start, None):
                        yield sample
                        read += 1
            except BrokenShard as error:
                cause, problem, broken = error.cause, str(error), True
            if size is not None and read < size:
                skipped.add(cause, url, problem, size - read)
            elif size is None and (broken or not read):
                skipped.add(of_unknown_size(cause), url, problem)
            fruitless = 0 if read > start else fruitless + 1
            if fruitless == most:
                raise NothingToRead(
                    f"data.train.shards: {most} shards in a row gave no sample, "
                    f"the last {url!r}: {problem}"
                )
