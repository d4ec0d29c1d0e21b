"""What holds for every source: the same bytes, once, and on from where it stopped."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cyclip_pl.data.prepare import core
from cyclip_pl.data.prepare.folder import PROGRESS
from cyclip_pl.data.prepare.items import BadRow, Item, Source
from cyclip_pl.data.prepare.plan import Plan
from cyclip_pl.data.prepare.progress import Progress
from cyclip_pl.data.prepare.report import summary
from cyclip_pl.data.prepare.sources.csv_table import csv_source
from cyclip_pl.data.prepare.sources.folders import folder_source
from cyclip_pl.data.prepare.sources.parquet import parquet_source
from tests.data.prepare import pictures
from tests.data.prepare.reading import read_tars, tree

PLAN = Plan("training", shard_size=4, holdout=0.2)

MAKERS: dict[str, Callable[[Path], Source]] = {
    "csv": lambda folder: csv_source(pictures.table(folder)),
    "folder": lambda folder: folder_source(pictures.with_texts(folder / "f")),
    "parquet": lambda folder: parquet_source([pictures.parquet(folder / "p.parquet")]),
}


class Watched:
    """A source that says from where it was read."""

    def __init__(self, source: Source) -> None:
        self._source, self.started = source, -1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def entries(self, start: int = 0) -> Iterator[Item | BadRow]:
        self.started = start
        return self._source.entries(start)


def prepare_until(entry: int, source: Source, *arguments: Any, **options: Any) -> None:
    """A preparation that is interrupted when it has written its entries up to this one."""
    left = iter(range(entry - 1))

    class Interrupted(Progress):
        def advance(self, bad: int) -> None:
            if next(left, None) is None:
                raise KeyboardInterrupt

    with (
        pytest.MonkeyPatch.context() as patched,
        pytest.raises(KeyboardInterrupt),
    ):
        patched.setattr(core, "Progress", Interrupted)
        core.prepare(source, *arguments, **options)


def keys(output: Path, part: str) -> list[str]:
    return list(read_tars(sorted((output / part).glob("*.tar"), key=lambda p: int(p.stem))))


@pytest.mark.parametrize("name", MAKERS)
def test_what_was_stopped_goes_on_and_has_the_same_bytes(tmp_path: Path, name: str) -> None:
    pytest.importorskip("pyarrow")
    source = MAKERS[name](tmp_path)
    core.prepare(source, tmp_path / "whole", PLAN, workers=1)
    watched = Watched(source)
    prepare_until(11, watched, tmp_path / "parts", PLAN, workers=2)
    assert watched.started == 0 and not (tmp_path / "parts").exists()
    prepare_until(10, watched, tmp_path / "parts", PLAN, workers=2)
    first = watched.started
    assert 4 <= first <= 11, "more than a shard was lost"
    core.prepare(watched, tmp_path / "parts", PLAN, workers=3)
    assert first + 4 <= watched.started <= first + 10
    assert tree(tmp_path / "parts") == tree(tmp_path / "whole")
    assert not (tmp_path / ".parts.partial").exists()


def test_bad_rows_and_copies_survive_a_stop(tmp_path: Path) -> None:
    table = pictures.table(tmp_path)
    (tmp_path / "images/9.png").write_bytes(b"no image")
    for copy in range(10, 14):
        (tmp_path / f"images/{copy}.png").write_bytes(pictures.png(5))
    source, plan = csv_source(table), Plan("training", shard_size=3, holdout=0.6)
    whole = core.prepare(source, tmp_path / "whole", plan)
    prepare_until(25, source, tmp_path / "parts", plan)
    again = core.prepare(source, tmp_path / "parts", plan)
    assert again is not None and whole is not None
    assert again.bad_rows == whole.bad_rows != []
    assert tree(tmp_path / "parts") == tree(tmp_path / "whole")


def test_other_settings_and_force_start_over(tmp_path: Path) -> None:
    source = csv_source(pictures.table(tmp_path))
    for plan, force in ((Plan("training", shard_size=5), False), (PLAN, True)):
        prepare_until(25, source, tmp_path / "out", PLAN)
        assert (tmp_path / ".out.partial" / PROGRESS).is_file()
        watched = Watched(source)
        core.prepare(watched, tmp_path / "out", plan, force=force)
        assert watched.started == 0
        core.prepare(source, tmp_path / "fresh", plan, force=True)
        assert tree(tmp_path / "out") == tree(tmp_path / "fresh")
        shutil.rmtree(tmp_path / "out")


def test_a_stop_before_the_first_full_shard_leaves_nothing(tmp_path: Path) -> None:
    source = csv_source(pictures.table(tmp_path))
    prepare_until(3, source, tmp_path / "out", PLAN)
    assert not (tmp_path / ".out.partial").exists()


def test_a_full_disk_keeps_what_is_there(tmp_path: Path, monkeypatch) -> None:
    import errno

    from cyclip_pl.data.prepare import writer

    source = csv_source(pictures.table(tmp_path))
    real, left = writer.add_sample, iter(range(20))

    def full(*arguments: Any) -> None:
        if next(left, None) is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(writer, "add_sample", full)
        with pytest.raises(ValueError, match=r"No space left .*; full shards are kept, and the"):
            core.prepare(source, tmp_path / "out", PLAN)
    core.prepare(source, tmp_path / "out", PLAN)
    core.prepare(source, tmp_path / "whole", PLAN)
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


def test_images_are_read_as_they_are_needed(tmp_path: Path) -> None:
    """The window of images read ahead is smaller than the source, and results keep their order."""
    done, seen = 0, []

    def work(number: int) -> int:
        return number * 2

    def entries() -> Iterator[int]:
        for number in range(200):
            seen.append(number - done)
            yield number

    for done, (entry, result) in enumerate(core.in_order(work, entries(), 3, ahead=16)):
        assert result == 2 * entry == 2 * done
    assert done == 199 and max(seen) <= 17


def test_a_summary_of_nothing() -> None:
    assert summary([], "line") == "0 bad rows"
    assert summary([BadRow(9, "", "empty caption")], "row").endswith("row 9: empty caption")


def test_lines_tell_how_far_it_is_where_there_is_no_terminal() -> None:
    now, file = [0.0], io.StringIO()
    with Progress(1000, 10, Console(file=file), lambda: now[0]) as bar:
        for second in range(100):
            now[0] = float(second)
            bar.advance(2)
    assert file.getvalue().splitlines() == [
        "images: 41 of 1,000, 2 bad rows",
        "images: 71 of 1,000, 2 bad rows",
        "images: 101 of 1,000, 2 bad rows",
        "images: 110 of 1,000, 2 bad rows",
    ]


def test_meta_tells_what_came_out(tmp_path: Path) -> None:
    report = core.prepare(csv_source(pictures.table(tmp_path)), tmp_path / "out", PLAN)
    assert report is not None
    meta = json.loads((tmp_path / "out" / "meta.json").read_text())
    assert meta["prepared"] == "csv" and meta["samples"] == report.samples
    assert sum(report.samples.values()) == 30
    assert len(keys(tmp_path / "out", "train")) == report.samples["train"]
