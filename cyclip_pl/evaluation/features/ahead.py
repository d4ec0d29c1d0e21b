"""Work that threads do ahead of its use."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def ahead(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    threads: int,
    window: int,
    begin: Callable[[], Any] | None = None,
) -> Iterator[Result]:
    """`map(work, items)` by threads: in order, at most `window` results ahead.

    An error of `work` is raised where its result would be.

    Args:
        begin: Called first in each thread.
    """
    assert threads > 0 and window > 0
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(threads, "evaluation", begin)
    try:
        for item in items:
            if len(waiting) == window:
                yield waiting.popleft().result()
            waiting.append(pool.submit(work, item))
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
