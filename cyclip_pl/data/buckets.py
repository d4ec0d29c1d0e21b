"""Batches of captions of similar length, so that little of them is padding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from cyclip_pl.data.epochs import Reader
from cyclip_pl.data.position import Drawn
from cyclip_pl.data.shard_reader import RawSample
from cyclip_pl.data.skipped import SkippedSample
from cyclip_pl.data.stream import Item, Stream

# The last three fields of a position.
Open = tuple[int, int, int]
CLOSED: Open = (0, 0, 0)


def sorted_batches(
    lengths: Sequence[int], batch_size: int, permutation: Sequence[int]
) -> list[list[int]]:
    """Indices of samples, sorted by length and cut into batches, which come in this order."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    return [order[i * batch_size : (i + 1) * batch_size] for i in permutation]


class Buckets:
    """Plans a reader's batches, a bucket of them at a time.

    A bucket holds the next samples of the stream, undecoded. Their order is a function of the
    reader and of the samples, so a position inside a bucket is that of its first sample and the
    number of its batches that were given.

    Args:
        size: Batches in a bucket.
        length: A caption → the number of its tokens.
    """

    def __init__(self, size: int, batch_size: int, length: Callable[[str], int]) -> None:
        self.size = size
        self.batch_size = batch_size
        self.length = length

    def plan(
        self,
        stream: Stream,
        reader: Reader,
        caption: Callable[[RawSample], str],
        drawn: Drawn,
        wanted: int,
    ) -> Iterator[tuple[list[Item], Open]]:
        """Samples of each of the `wanted` batches behind `drawn`, and what is open behind it.

        A sample may turn out unusable later; the stream's next one replaces it.
        """
        given = drawn.given
        left = given + wanted
        while left > 0:
            begin, number = stream.drawn, min(self.size, left)
            measured = islice(self._measured(stream, caption), number * self.batch_size)
            items, lengths = zip(*measured, strict=True)
            if given:
                stream.skip_to(drawn)  # beyond the samples that replaced others
            permutation = reader.generator("bucket", *begin[:2]).permutation(number).tolist()
            batches = sorted_batches(lengths, self.batch_size, permutation)
            for place, batch in enumerate(batches[given:], given + 1):
                opened = (*begin[:2], place) if place < number else CLOSED
                yield [items[i] for i in batch], opened
            given, left = 0, left - number

    def _measured(
        self, stream: Stream, caption: Callable[[RawSample], str]
    ) -> Iterator[tuple[Item, int]]:
        for item in stream:
            try:
                length = self.length(caption(item[0]))
            except SkippedSample as error:
                stream.lose(item, error)
                continue
            yield item, length
