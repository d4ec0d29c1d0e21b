"""Image-caption pairs listed in a CSV or TSV as training shards."""

from __future__ import annotations

import csv
import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from rich import progress
from rich.console import Console

from cyclip_pl import checks
from cyclip_pl.data.prepare.folder import building, write_json, write_meta
from cyclip_pl.data.prepare.images import read_image
from cyclip_pl.data.prepare.pair_table import (
    BadRow,
    Row,
    digest,
    find_delimiter,
    read_rows,
    resolve_quoting,
    shown,
)
from cyclip_pl.data.prepare.shards import Sample, json_bytes, order, write_full_shards

BAD_ROWS = "bad_rows.csv"
LARGEST_SHARD = 10_000
FEWEST_SHARDS = 16
"""A small table makes this many shards, so that several readers can share them."""

Found = tuple[str, bytes] | str
"""Extension and bytes of an image, or the reason why its rows are bad."""


@dataclass
class Report:
    """Samples per shard, captions over all shards, bad rows with the reason, and a note."""

    output: Path
    sizes: dict[str, int] = field(default_factory=dict)
    captions: int = 0
    bad_rows: list[BadRow] = field(default_factory=list)
    note: str = ""

    def __str__(self) -> str:
        last = f"{len(self.sizes) - 1:05d}"
        names = "00000.tar" if len(self.sizes) == 1 else f"{{00000..{last}}}.tar"
        listed = f" (listed in {self.output / BAD_ROWS})" if self.bad_rows else ""
        return (
            f"{sum(self.sizes.values())} samples, {self.captions} captions in "
            f"{self.output / names}\n{summary(self.bad_rows)}{listed}"
            + (f"\n{self.note}" if self.note else "")
        )


def prepare(
    csv_path: str | Path,
    output: str | Path,
    image_key: str = "image",
    caption_key: str = "caption",
    delimiter: str = "auto",
    quoting: str = "auto",
    image_root: str | Path | None = None,
    shard_size: int | None = None,
    resize: int | None = None,
    seed: int = 0,
    workers: int | None = None,
    force: bool = False,
) -> Report | None:
    """Write `00000.tar`…, `sizes.json` and `bad_rows.csv`; None if they are there already.

    Rows with the same image become one sample: `txt` has the first caption, `captions` in `json`
    has all of them, in order, each once. The same table and images give the same bytes.

    The arguments are the options of the command, `__main__.parser`; None is its default.

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
    quoting, note = resolve_quoting(csv_path, delimiter, quoting, image_key, root)
    settings = {
        "prepared": "csv",
        "table_sha256": digest(csv_path),
        "image_key": image_key,
        "caption_key": caption_key,
        "delimiter": delimiter,
        "quoting": quoting,
        "shard_size": shard_size,
        "resize": resize,
        "seed": seed,
    }
    with building(output, settings, force) as folder:
        if folder is None:
            return None
        report = Report(output, note=note)
        rows = read_rows(csv_path, delimiter, quoting, image_key, caption_key)
        images = _by_image(rows, report.bad_rows)
        size = shard_size or max(1, min(LARGEST_SHARD, len(images) // FEWEST_SHARDS))
        samples = _samples(images, root, report, resize, seed, workers)
        report.sizes = write_full_shards(folder, samples, size)
        if not report.sizes:
            raise ValueError(f"--csv {csv_path}: no good row; {summary(report.bad_rows)}")
        report.bad_rows.sort()
        write_json(folder / "sizes.json", report.sizes)
        with open(folder / BAD_ROWS, "w", newline="", encoding="utf-8", errors="replace") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(BadRow._fields)
            writer.writerows(report.bad_rows)
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
    first = min(bad_rows)
    return (
        f"{len(bad_rows)} bad rows ({counts}), the first on line {first.line}: "
        f"{first.reason} {first.image}".rstrip()
    )


def _by_image(rows: Iterable[Row | BadRow], bad_rows: list[BadRow]) -> dict[str, list[Row]]:
    """Good rows by sample key: the number of the image in order of appearance."""
    images: dict[str, list[Row]] = {}
    for row in rows:
        if isinstance(row, BadRow):
            bad_rows.append(row)
        else:
            images.setdefault(os.path.normpath(row.image), []).append(row)
    return {f"{number:09d}": of_image for number, of_image in enumerate(images.values())}


def _samples(
    images: dict[str, list[Row]],
    root: Path,
    report: Report,
    resize: int | None,
    seed: int,
    workers: int | None,
) -> Iterator[tuple[str, Sample]]:
    """Key and members of each image that can be read, in the order of the shards."""

    def read(key: str) -> Found:
        image = images[key][0].image
        try:
            return read_image(root / image, resize)
        except ValueError as error:
            if "://" in image:
                return "a URL: download the images first, for example with img2dataset"
            return str(error)

    columns = (
        progress.TextColumn("images"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(),
        progress.TextColumn("{task.fields[bad]} bad rows"),
    )
    with progress.Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=len(images), bad=0)
        for key, found in _in_order(read, order(images, f"{seed}/csv"), workers):
            rows = images.pop(key)
            if isinstance(found, str):
                report.bad_rows += [BadRow(row.line, row.image, found) for row in rows]
            else:
                extension, content = found
                captions = list(dict.fromkeys(row.caption for row in rows))
                report.captions += len(captions)
                about = json_bytes({"captions": captions, "image": shown(rows[0].image)})
                yield key, {extension: content, "txt": captions[0].encode(), "json": about}
            bar.update(task, advance=1, bad=len(report.bad_rows))


def _in_order(
    read: Callable[[str], Found], keys: Iterable[str], workers: int | None, ahead: int = 64
) -> Iterator[tuple[str, Found]]:
    """Like `map` in threads, with at most `ahead` results in memory if the consumer is slow."""
    pool, keys = ThreadPoolExecutor(workers or os.cpu_count() or 1), iter(keys)
    try:
        waiting = deque((key, pool.submit(read, key)) for key in islice(keys, ahead))
        while waiting:
            key, future = waiting.popleft()
            yield key, future.result()
            waiting.extend((new, pool.submit(read, new)) for new in islice(keys, 1))
    finally:
        pool.shutdown(cancel_futures=True)
