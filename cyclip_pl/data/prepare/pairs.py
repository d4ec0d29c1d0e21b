"""Image-caption pairs listed in a CSV or TSV as training shards."""

from __future__ import annotations

import contextlib
import csv
import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from cyclip_pl import checks
from cyclip_pl.data.prepare.folder import building, write_json, write_meta
from cyclip_pl.data.prepare.pair_table import BadRow, Row, digest, find_delimiter, read_rows
from cyclip_pl.data.prepare.shards import ShardWriter, json_bytes, order

BAD_ROWS = "bad_rows.csv"
LARGEST_SHARD = 10_000
FEWEST_SHARDS = 16
"""A small table makes this many shards, so that several readers can share them."""


@dataclass
class Report:
    """Samples per shard, captions over all shards, and bad rows with the reason."""

    output: Path
    sizes: dict[str, int]
    captions: int
    bad_rows: list[BadRow] = field(default_factory=list)


def prepare(
    csv_path: str | Path,
    output: str | Path,
    image_key: str = "image",
    caption_key: str = "caption",
    delimiter: str = "auto",
    image_root: str | Path | None = None,
    shard_size: int | None = None,
    resize: int | None = None,
    seed: int = 0,
    workers: int | None = None,
    force: bool = False,
    quiet: bool = False,
) -> Report | None:
    """Write `00000.tar`…, `sizes.json` and `bad_rows.csv`; None if they are there already.

    Rows with the same image become one sample with several captions: `txt` has the first one,
    `captions` in `json` has all of them, in order, each once. Samples are shuffled by `seed`, since
    tables are often sorted. The same table and images give the same bytes.

    Args:
        csv_path: The table, with a header; UTF-8.
        output: The folder to make.
        image_key: The column of paths.
        caption_key: The column of captions.
        delimiter: `auto`, or a name or character as in `find_delimiter`.
        image_root: The folder of relative paths; None is the table's folder.
        shard_size: Samples per shard; None is at most 10,000, and fewer if that makes 16 shards.
        resize: Shorter side in pixels to which larger images are resized; None keeps their bytes.
        seed: Of the order.
        workers: Threads that read and decode; None is one per core.
        force: Whether to replace a folder that was prepared before.
        quiet: Whether to leave out the progress bar.

    Raises:
        ValueError: The table, a column or any good row is missing, or `output` is something else.
    """
    csv_path, output = Path(csv_path), Path(output)
    if not csv_path.is_file():
        raise ValueError(f"--csv {csv_path}: no such file")
    for option, value in (("--shard-size", shard_size), ("--resize", resize)):
        if value is not None:
            checks.whole(option, value)
    root = Path(image_root) if image_root is not None else csv_path.parent
    if not root.is_dir():
        raise ValueError(f"--image-root {root}: no such folder")
    delimiter = find_delimiter(csv_path, delimiter, (image_key, caption_key))
    settings = {
        "prepared": "csv",
        "table_sha256": digest(csv_path),
        "image_key": image_key,
        "caption_key": caption_key,
        "delimiter": delimiter,
        "shard_size": shard_size,
        "resize": resize,
        "seed": seed,
    }
    with building(output, settings, force) as folder:
        if folder is None:
            return None
        rows = read_rows(csv_path, delimiter, image_key, caption_key)
        report = Report(output, {}, 0)
        images = _by_image(rows, report.bad_rows)
        with _progress(len(images), quiet) as advance:
            size = shard_size or max(1, min(LARGEST_SHARD, len(images) // FEWEST_SHARDS))
            _write(folder, images, root, report, size, resize, seed, workers, advance)
        if not report.sizes:
            raise ValueError(f"--csv {csv_path}: no good row; {summary(report.bad_rows)}")
        report.bad_rows.sort(key=lambda row: row.line)
        write_json(folder / "sizes.json", report.sizes)
        _list_bad_rows(folder / BAD_ROWS, report.bad_rows)
        facts = {
            "samples": sum(report.sizes.values()),
            "captions": report.captions,
            "bad_rows": len(report.bad_rows),
        }
        write_meta(folder, settings, facts)
    return report


def summary(bad_rows: list[BadRow]) -> str:
    """`12 bad rows (missing file 12), the first on line 2: missing file a.jpg`."""
    if not bad_rows:
        return "0 bad rows"
    kinds = Counter(row.reason.split(":")[0] for row in bad_rows)
    counts = ", ".join(f"{kind} {number}" for kind, number in kinds.most_common(5))
    first = min(bad_rows, key=lambda row: row.line)
    return (
        f"{len(bad_rows)} bad rows ({counts}), the first on line {first.line}: "
        f"{first.reason} {first.image}".rstrip()
    )


def _by_image(rows: Iterable[Row | BadRow], bad_rows: list[BadRow]) -> dict[str, list[Row]]:
    """Good rows by sample key: the number of the image in order of appearance."""
    keys: dict[str, str] = {}
    images: dict[str, list[Row]] = {}
    for row in rows:
        if isinstance(row, BadRow):
            bad_rows.append(row)
            continue
        path = os.path.normpath(row.image)
        key = keys.setdefault(path, f"{len(keys):09d}")
        images.setdefault(key, []).append(row)
    return images


def _write(
    folder: Path,
    images: dict[str, list[Row]],
    root: Path,
    report: Report,
    shard_size: int,
    resize: int | None,
    seed: int,
    workers: int | None,
    advance: Callable[[int, int], None],
) -> None:
    def read(key: str) -> tuple[str, bytes] | str:
        """Extension and bytes, or the reason why the row is bad."""
        from cyclip_pl.data.prepare.images import read_image

        image = images[key][0].image
        try:
            return read_image(root / image, resize)
        except ValueError as error:
            is_url = "://" in image
            return (
                "a URL: download the images first, for example with img2dataset"
                if is_url
                else str(error)
            )

    writer = ShardWriter(folder, shard_size)
    with writer, ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        for key, found in _in_order(pool, read, order(images, f"{seed}/csv")):
            rows = images.pop(key)
            if isinstance(found, str):
                report.bad_rows += [BadRow(row.line, row.image, found) for row in rows]
            else:
                extension, content = found
                captions = list(dict.fromkeys(row.caption for row in rows))
                report.captions += len(captions)
                description = {"captions": captions, "image": rows[0].image}
                writer.add(
                    key,
                    {
                        extension: content,
                        "txt": captions[0].encode(),
                        "json": json_bytes(description),
                    },
                )
            advance(1, len(report.bad_rows))
    report.sizes = writer.sizes


A = TypeVar("A")
B = TypeVar("B")


def _in_order(
    pool: ThreadPoolExecutor, work: Callable[[A], B], items: Iterable[A], ahead: int = 64
) -> Iterator[tuple[A, B]]:
    """Like `map`, with at most `ahead` results in memory if the consumer is slow."""
    waiting: deque[tuple[A, Future[B]]] = deque()
    try:
        for item in items:
            waiting.append((item, pool.submit(work, item)))
            if len(waiting) >= ahead:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
    finally:
        for _, future in waiting:
            future.cancel()


def _list_bad_rows(path: Path, bad_rows: Iterable[BadRow]) -> None:
    with open(path, "w", newline="", encoding="utf-8", errors="replace") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["line", "image", "reason"])
        writer.writerows([row.line, row.image, row.reason] for row in bad_rows)


@contextlib.contextmanager
def _progress(total: int, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr, with the time left and bad rows."""
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("images"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(),
        progress.TextColumn("{task.fields[bad]} bad rows"),
    )
    with progress.Progress(*columns, console=Console(stderr=True), disable=quiet) as bar:
        task = bar.add_task("", total=total, bad=0)

        def advance(images: int, bad: int) -> None:
            bar.update(task, advance=images, bad=bad)

        yield advance
