"""Threads work ahead: in order, within bounds, and errors come where the result would."""

from __future__ import annotations

import threading
import time

import pytest

from cyclip_pl.evaluation.features.ahead import ahead


def test_results_are_in_order_and_from_threads() -> None:
    names = set()

    def work(n: int) -> int:
        names.add(threading.current_thread().name)
        time.sleep((7 - n) % 3 / 1000)
        return n * n

    assert list(ahead(work, range(20), 3, 4)) == [n * n for n in range(20)]
    assert threading.current_thread().name not in names
    assert list(ahead(work, [], 3, 4)) == []


def test_no_more_than_the_window_is_begun() -> None:
    begun: list[int] = []
    results = ahead(begun.append, range(100), 2, 5)
    next(results)
    time.sleep(0.05)
    assert len(begun) <= 6
    results.close()  # type: ignore[attr-defined]
    assert len(begun) <= 6


def test_an_error_is_raised_in_its_place() -> None:
    results = ahead(lambda n: 1 // n, [1, 1, 0, 1], 2, 3)
    assert next(results) == next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_each_thread_begins_once() -> None:
    begun: list[str] = []
    begin = lambda: begun.append(threading.current_thread().name)  # noqa: E731
    list(ahead(lambda n: time.sleep(0.001), range(50), 2, 4, begin))
    assert len(begun) == len(set(begun)) <= 2
