"""The shuffle buffer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def shuffled(stream: Iterable[T], size: int, rng: np.random.Generator) -> Iterator[T]:
    """The items of `stream`, each once, in an order drawn from a buffer of at most `size`.

    The first item comes once a quarter of the buffer is held; from then on it grows by one with
    each item drawn, so that a large buffer does not delay the first step. `size` 1 keeps the order.
    """
    source = iter(stream)
    buffer = list(islice(source, max(1, size // 4)))
    while buffer:
        drawn = int(rng.random() * len(buffer))
        buffer[drawn], buffer[-1] = buffer[-1], buffer[drawn]
        item = buffer.pop()
        buffer.extend(islice(source, min(2, size - len(buffer))))
        yield item
