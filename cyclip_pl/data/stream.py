"""A reader's undecoded samples without end, and the count of those that cannot be used."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from itertools import count, islice

from cyclip_pl.data.epochs import Epochs, NothingToRead, Reader
from cyclip_pl.data.position import Drawn
from cyclip_pl.data.shard_reader import RawSample, ShardReader
from cyclip_pl.data.skipped import SkipCounter, SkippedSample
from cyclip_pl.data.urls import name_all
from cyclip_pl.images import Undecodable

# Shards with less than 1 % usable samples are an error, raised after this many unusable ones.
_PATIENCE = 2000
_LEAST_USABLE = 0.01

# A sample, and the turn of the epoch in which it was drawn.
Item = tuple[RawSample, int]


class Stream:
    """One reader's samples behind a position; if too few are usable, it begins again.

    The caller reports a sample that it finds unusable (`lose`).

    Args:
        wanted: Samples that the epoch needs.
        skipped: Counts the unusable ones.
        expected: What a sample must hold, in words.
        drawn: The position.

    Attributes:
        drawn: The position behind the latest sample.

    Raises:
        NothingToRead: On iteration or by `lose`: less than 1 % of the samples are usable.
    """

    def __init__(
        self,
        epochs: Epochs,
        reader: Reader,
        read_shard: ShardReader,
        *,
        wanted: int,
        skipped: SkipCounter,
        expected: str,
        drawn: Drawn,
    ) -> None:
        self.drawn = drawn
        self._epochs = epochs
        self._reader = reader
        self._read_shard = read_shard
        self._wanted = wanted
        self._skipped = skipped
        self._expected = expected
        # Of this turn: unusable samples, and the extensions of their members.
        self._lost = 0
        self._found: dict[str, None] = {}
        # What is read again was counted already.
        self._quiet = SkipCounter(quiet=True)
        self._items = self._all(drawn)

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        return next(self._items)

    def close(self) -> None:
        """Close the shards and free the buffer: it refers to this object, in a cycle."""
        self._items.close()

    def skip_to(self, drawn: Drawn) -> None:
        """Pass by the samples up to a position; their losses were counted before."""
        while self.drawn[:2] < drawn[:2]:
            next(self)
        self._forget()

    def lose(self, item: Item, error: SkippedSample | Undecodable) -> None:
        """Count a sample as unusable."""
        raw, turn = item
        lost = error.count if isinstance(error, SkippedSample) else 1
        self._counter(turn).add(error.reason, raw.url, str(error), lost, sample=raw.key)
        if turn == self.drawn.turn:  # otherwise it was read ahead, and its turn is over
            self._lost += 1
        self._found.update(dict.fromkeys(raw.members))
        if self._lost >= _PATIENCE and self._usable() < _LEAST_USABLE * self._lost:
            raise NothingToRead(self._nothing()) from None

    def _all(self, begin: Drawn) -> Generator[Item]:
        for turn in count(begin.turn):
            before = begin.samples if turn == begin.turn else 0
            self.drawn, self._lost, self._found = Drawn(turn, before), 0, {}
            counter = self._counter(turn)
            samples = self._epochs.samples(self._reader, turn, self._read_shard, counter)
            if before:
                deque(islice(samples, before), maxlen=0)
                self._forget()  # counted before the checkpoint
            for number, raw in enumerate(samples, before + 1):
                self.drawn = Drawn(turn, number)
                yield raw, turn
            if self._usable() < max(1, _LEAST_USABLE * self._wanted):
                raise NothingToRead(self._nothing())

    def _counter(self, turn: int) -> SkipCounter:
        return self._quiet if turn else self._skipped

    def _forget(self) -> None:
        self._skipped.take()
        self._skipped.take_shards()

    def _usable(self) -> int:
        return max(0, self.drawn.samples - self._lost)

    def _nothing(self) -> str:
        share = f"only {usable} usable" if (usable := self._usable()) else "no usable"
        members = " ".join(f".{name}" for name in list(self._found)[:8]) or "no members"
        return (
            f"data.train.shards: {share} sample in {name_all(self._epochs.urls)}: "
            f"{self._skipped.describe()}; found {members}; expected {self._expected}"
        )
