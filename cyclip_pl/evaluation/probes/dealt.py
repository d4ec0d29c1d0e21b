"""Work that one rank can do alone, dealt to the ranks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from cyclip_pl.distributed import objects_of_all, rank, world_size

T = TypeVar("T")


def dealt(tasks: Sequence[Callable[[], T]], done: Callable[[], object] = lambda: None) -> list[T]:
    """The results of the tasks, each done by one rank and known to all; all ranks enter together.

    Args:
        done: Called after each of this rank's tasks.

    Raises:
        ValueError: A task did, on whichever rank.
    """
    mine = {}
    for n in range(rank(), len(tasks), world_size()):
        mine[n] = _outcome(tasks[n])
        done()
    outcomes = {n: outcome for of_rank in objects_of_all(mine) for n, outcome in of_rank.items()}
    results = []
    for n in range(len(tasks)):
        result, error = outcomes[n]
        if error is not None:
            raise error
        results.append(result)
    return results


def _outcome(task: Callable[[], T]) -> tuple[T | None, ValueError | None]:
    try:
        return task(), None
    except ValueError as error:
        return None, error
