"""From any source to shards: read, check, write, and go on after a kill."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TypeVar

from cyclip_pl import checks
from cyclip_pl.data.prepare.folder import building, read_progress, write_meta, write_progress
from cyclip_pl.data.prepare.images import usable_image
from cyclip_pl.data.prepare.items import BadRow, Item, Source
from cyclip_pl.data.prepare.output import Image, Output
from cyclip_pl.data.prepare.plan import Plan
from cyclip_pl.data.prepare.progress import Progress
from cyclip_pl.data.prepare.report import Report, summary

LAYOUT = 1
"""Raise it when the same settings no longer give the same bytes."""

T = TypeVar("T")
U = TypeVar("U")


def prepare(
    source: Source,
    output: str | Path,
    plan: Plan | None = None,
    resize: int | None = None,
    workers: int | None = None,
    force: bool = False,
) -> Report | None:
    """Write the parts of a plan to `output`; None if they are there already.

    The same source and settings give the same bytes, whatever the number of workers. A preparation
    that was killed goes on behind the last full shard.

    Args:
        source: Where the images come from.
        output: The folder; it is complete or absent.
        plan: What is made; training shards by default.
        resize: Bring larger images to this shorter side, in pixels; None keeps their bytes.
        workers: Threads; None for one per core.
        force: Replace what was prepared there before.

    Raises:
        ValueError: No usable image, a part would be empty, or `output` is something else.
    """
    output, plan = Path(output), plan or Plan()
    for option, value in (("--resize", resize), ("--workers", workers)):
        if value is not None:
            checks.whole(option, value)
    parts = plan.parts(source)
    settings = {
        "prepared": source.name,
        "layout": LAYOUT,
        **source.settings,
        **plan.settings,
        "resize": resize,
    }
    with building(output, settings, force, resumable=True) as folder:
        if folder is None:
            return None
        state = read_progress(folder)
        done: int = state["done"] if state else 0
        made = Output(folder, parts, state)
        try:
            pairs = in_order(lambda entry: _looked_at(entry, resize), source.entries(done), workers)
            with Progress(source.total, done) as bar:
                for entry, found in pairs:
                    done += 1
                    full = False
                    if isinstance(entry, Item) and isinstance(found, Image):
                        full = made.add(entry, found)
                    else:
                        made.leave_out(entry, str(found))
                    if full:
                        write_progress(folder, settings, {"done": done, **made.state()})
                    bar.advance(made.bad)
            report = Report(output, source.unit, note=source.note)
            made.finish(report)
        finally:
            made.abandon()
        _check(report, plan)
        facts = {
            "samples": report.samples,
            "captions": report.captions,
            "bad_rows": len(report.bad_rows),
        }
        made.clear()
        write_meta(folder, settings, facts)
    return report


def _looked_at(entry: Item | BadRow, resize: int | None) -> Image | str:
    """The entry's image, or why it is left out."""
    if isinstance(entry, BadRow):
        return entry.reason
    try:
        content = entry.load()
        extension, kept = usable_image(content, resize)
    except ValueError as error:
        return str(error)
    return Image(extension, kept, hashlib.sha256(content).digest()[:16])


def _check(report: Report, plan: Plan) -> None:
    if not report.parts:
        raise ValueError(f"no usable image; {summary(report.bad_rows, report.unit)}")
    if plan.make == "classification" and "test" not in report.parts:
        raise ValueError("--make classification: no image is left for the split test")
    if plan.holdout:
        held_out = any(folder.endswith("/test") for folder in report.parts)
        for there, what in (("train" in report.parts, "training"), (held_out, "the evaluation")):
            if not there:
                raise ValueError(f"--holdout {plan.holdout:g}: no image is left for {what}")


def in_order(
    work: Callable[[T], U], entries: Iterable[T], workers: int | None, ahead: int = 64
) -> Iterator[tuple[T, U]]:
    """Like `map` in threads, with at most `ahead` results in memory if the consumer is slow."""
    pool, entries = ThreadPoolExecutor(workers or os.cpu_count() or 1), iter(entries)
    try:
        waiting = deque((entry, pool.submit(work, entry)) for entry in islice(entries, ahead))
        while waiting:
            entry, future = waiting.popleft()
            yield entry, future.result()
            del future
            waiting.extend((new, pool.submit(work, new)) for new in islice(entries, 1))
    finally:
        pool.shutdown(cancel_futures=True)
