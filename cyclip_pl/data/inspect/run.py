"""All shards of all parts, several at a time."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import get_context
from typing import NamedTuple

from cyclip_pl.data.inspect.findings import Findings
from cyclip_pl.data.inspect.shard import Look, look_at
from cyclip_pl.data.inspect.sources import CLASSIFICATION
from cyclip_pl.data.urls import size_in_bytes

_SMALL = 1 << 26


class Job(NamedTuple):
    """A shard to look at: the number of its part, its own number there, and what to look for."""

    part: int
    number: int
    url: str
    counted: int | None
    look: Look


def looked_at(jobs: Sequence[Job], workers: int) -> Iterator[tuple[Job, Findings]]:
    """What each shard holds, in the order in which they are finished.

    Args:
        jobs: The shards.
        workers: Processes; 1 reads in this one.

    Raises:
        ValueError: A process died, as a decoder may on a broken image; one line.
    """
    if min(workers, len(jobs)) <= 1:
        for job in jobs:
            yield job, _run(job)
        return
    # Forked from a server that has no threads and has imported what is slow to import.
    context = get_context("forkserver")
    tokenizer = ["open_clip.tokenizer"] if any(_has_captions(job) for job in jobs) else []
    context.set_forkserver_preload([Look.__module__, *tokenizer])
    with ProcessPoolExecutor(min(workers, len(jobs)), context, _default_interrupt) as pool:
        left = iter(jobs)
        # Not all at once: their findings would wait in memory.
        running = {pool.submit(_run, job): job for job in islice(left, 2 * workers)}
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                job = running.pop(future)
                yield job, _found(future, job)
                running |= {pool.submit(_run, job): job for job in islice(left, 1)}


def _run(job: Job) -> Findings:
    return look_at(job.url, job.counted, job.look)


def _has_captions(job: Job) -> bool:
    return job.look.kind != CLASSIFICATION


def _found(future: Future[Findings], job: Job) -> Findings:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise ValueError(
            f"{job.url}: a reading process died there or in one of the shards beside it; "
            "--workers 1 shows where, or the memory ran out"
        ) from error


def _default_interrupt() -> None:
    """Ctrl-C ends a reading process at once and without a word."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def workers_for(jobs: Sequence[Job]) -> int:
    """One per core; one for what is read sooner than processes start."""
    size = size_in_bytes(job.url for job in jobs)
    if size is not None and size < _SMALL:
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
