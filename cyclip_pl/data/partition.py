"""Who reads what: one epoch's samples divided over ranks and their workers.

The shards, in this epoch's order, form one index space [0, total). Each rank takes a contiguous
range of it, and each of its workers a contiguous part of that range: every sample has one reader.
All ranks make the same number of batches; otherwise a collective would wait forever.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Piece(NamedTuple):
    """Samples [start, stop) of the shard with this index."""

    shard: int
    start: int
    stop: int


def even(total: int, parts: int, index: int) -> tuple[int, int]:
    """Part `index` of [0, total), cut into `parts` ranges whose lengths differ by at most one."""
    return total * index // parts, total * (index + 1) // parts


def batches_of_worker(batches: int, workers: int, worker: int) -> int:
    """How many of a rank's batches this worker makes; the loader takes from the workers in turn."""
    return batches // workers + (worker < batches % workers)


def range_of_worker(
    samples: range, batches: int, batch_size: int, workers: int, worker: int
) -> tuple[int, int]:
    """The worker's part of its rank's `samples`: its batches and a share of the surplus.

    The surplus, less than one batch per rank, replaces samples that cannot be used.
    """
    active = min(workers, batches)
    if worker >= active:
        return samples.stop, samples.stop
    surplus = len(samples) - batches * batch_size
    assert surplus >= 0

    def begin(index: int) -> int:
        own = sum(batches_of_worker(batches, workers, w) for w in range(index)) * batch_size
        return samples.start + own + surplus * index // active

    return begin(worker), begin(worker + 1)


def pieces(order: Sequence[int], sizes: Sequence[int], start: int, stop: int) -> list[Piece]:
    """The range [start, stop) of the index space as pieces of shards, in reading order.

    Args:
        order: The shards' indices in this epoch's order.
        sizes: The number of samples of each shard, by its index.
    """
    found, offset = [], 0
    for shard in order:
        first, last = max(start - offset, 0), min(stop - offset, sizes[shard])
        if first < last:
            found.append(Piece(shard, first, last))
        offset += sizes[shard]
    return found
