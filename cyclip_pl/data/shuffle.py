"""The shuffle buffer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def shuffled(items: Iterable[T], size: int, rng: np.random.Generator) -> Iterator[T]:
    """Each of `items` once, drawn from a buffer of at most `size`; `size` 1 keeps the order.

    Drawing starts when a quarter of the buffer is filled; the buffer then grows by one per item
    drawn. So a large buffer does not delay the first step.
    """
    source = iter(items)
    buffer = list(islice(source, max(1, size // 4)))
    while buffer:
        drawn = int(rng.random() * len(buffer))
        buffer[drawn], buffer[-1] = buffer[-1], buffer[drawn]
        item = buffer.pop()
        buffer.extend(islice(source, min(2, size - len(buffer))))
        yield item
