from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest

from cyclip_pl.reports import run_files
from cyclip_pl.reports.run_files import plain, read_object
from cyclip_pl.reports.run_order import natural
from cyclip_pl.reports.runs import Point, folder_names, read_runs
from tests.helpers.run_folders import write_run


def test_metrics_by_title_and_by_name(tmp_path: Path) -> None:
    metrics = {"a/zero_shot/acc1": 0.25, "a/zero_shot/samples": 8, "train/seconds": 1.5, "x": 2}
    (run,) = read_runs([write_run(tmp_path / "first", metrics)])
    assert run.name == "first"
    assert run.metrics == {
        "a/zero_shot": {"acc1": 0.25, "samples": 8.0},
        "train": {"seconds": 1.5},
        "": {"x": 2.0},
    }


def test_null_is_a_gap_and_nan_is_nan(tmp_path: Path) -> None:
    write_run(tmp_path / "r", {"a/b/null": None, "a/b/nan": math.nan, "a/b/inf": -math.inf})
    (run,) = read_runs([tmp_path / "r"])
    found = run.metrics["a/b"]
    assert found["null"] is None and math.isnan(found["nan"]) and found["inf"] == -math.inf
    assert all(run.point("a/b", name) is None for name in ("null", "nan", "inf", "absent"))


def test_points_have_their_bounds(tmp_path: Path) -> None:
    metrics = {"f": 0.5, "f_low": 0.4, "f_high": 0.7, "g": 0.5, "g_low": 0.4, "huge": 1e300}
    metrics |= {"odd": 0.5, "odd_low": 0.6, "odd_high": 0.7, "n": 0.5, "n_low": None, "n_high": 1}
    write_run(tmp_path / "r", {f"a/b/{name}": value for name, value in metrics.items()})
    (run,) = read_runs([tmp_path / "r"])
    assert run.point("a/b", "f") == Point(0.5, 0.4, 0.7)
    for name in ("g", "odd", "n"):
        assert run.point("a/b", name) == Point(0.5, 0.5, 0.5)
    assert run.point("a/b", "huge") is None  # a plot would show nothing else


def test_names_tell_runs_apart(tmp_path: Path) -> None:
    folders = [tmp_path / "s" / "1" / "eval", tmp_path / "s" / "2" / "eval"]
    assert folder_names(folders) == ["1/eval", "2/eval"]
    assert folder_names([tmp_path / "a", tmp_path / "b"]) == ["a", "b"]
    for folder in folders:
        write_run(folder, {})
    assert [run.name for run in read_runs(folders, ["A", " B "])] == ["A", "B"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["A"], "1 names for 2 runs"),
        (["A", "A"], "two runs have the name A"),
        (["A", " "], "a run's name is empty"),
    ],
)
def test_names_that_cannot_be(names: list[str], message: str, tmp_path: Path) -> None:
    folders = [write_run(tmp_path / name, {}) for name in "ab"]
    with pytest.raises(ValueError, match=f"^{message}$"):
        read_runs(folders, names)


def test_folders_that_are_not_runs(tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    with pytest.raises(ValueError, match=r"empty has no metrics\.json: is it a run folder\?$"):
        read_runs([folder])
    with pytest.raises(ValueError, match=r"absent is not a folder$"):
        read_runs([tmp_path / "absent"])
    run = write_run(tmp_path / "r", {})
    with pytest.raises(ValueError, match=r"r is given twice$"):
        read_runs([run, tmp_path / "empty" / ".." / "r"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1, 2]", r"must hold a JSON object; it holds a list"),
        ("{", r"is not JSON"),
        ("", r"is not JSON"),
        ("\ud800".encode("utf-8", "surrogatepass"), r"is not JSON"),
        ("[" * 100_000, r"is not JSON"),
        ('{"a/b/c": "0.5"}', r": 'a/b/c' must be a number; it is '0.5'"),
        ('{"a/b/c": true}', r": 'a/b/c' must be a number; it is True"),
        ('{"a/b/c": [[[[[[[[9]]]]]]]]}', r": 'a/b/c' must be a number; it is \[+\.\.\.\]+"),
        ('{"a/b/c": 1%s}' % ("0" * 400), r": 'a/b/c' is too large a number"),
        ('{"a/b/c": 1%s}' % ("0" * 5000), r"is not JSON"),
        ('{"%s": {}}' % ("k" * 10_000), r": 'k+\.\.\.k+' must be a number; it is {}"),
        (json.dumps({f"{n}/b/c": 1 for n in range(2001)}), r"has 2,001 pairs of data set"),
    ],
)
def test_malformed_metrics_are_one_line_that_names_the_file(
    content: str | bytes, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "metrics.json"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=f"^{file}:? ?{message}") as caught:
        read_runs([tmp_path])
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_huge_files_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_files, "MOST_BYTES", 100)
    exact, more = '{"a": 1}'.ljust(100), '{"a": 1}'.ljust(101)
    (tmp_path / "exact.json").write_text(exact)
    assert read_object(tmp_path / "exact.json") == {"a": 1}
    (tmp_path / "more.json").write_text(more)
    with pytest.raises(ValueError, match=r"more\.json has more than 100 bytes"):
        read_object(tmp_path / "more.json")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "metrics.json")
    with pytest.raises(ValueError, match=r"metrics\.json is not a file$"):
        read_runs([tmp_path])


def test_names_are_printable(tmp_path: Path) -> None:
    hostile = "\x1b[31mred\n\u202eevil\ud800"
    assert plain(hostile) == "\ufffd[31mred\ufffd\ufffdevil\ufffd"
    write_run(tmp_path / "r", {f"{hostile}/zero_shot/acc1": 0.5})
    (run,) = read_runs([tmp_path / "r"], [hostile])
    assert run.name == plain(hostile)
    assert list(run.metrics) == [f"{plain(hostile)}/zero_shot"]


def test_details_are_found_by_title_and_only_in_their_folder(tmp_path: Path) -> None:
    (tmp_path / "x_y.json").write_text('{"secret": 1}')
    write_run(tmp_path / "r", {"a/b/c": 1, "../../x/y/z": 1}, {"a/b": {"found": 1}})
    (run,) = read_runs([tmp_path / "r"])
    assert run.detail("a/b", "found") == (f"{tmp_path / 'r/details/a_b.json'}: found", 1)
    assert run.detail("a/b", "other") is None
    assert run.detail("../../x/y", "secret") is None
    assert run.detail("a/other", "found") is None
    (tmp_path / "r/details/a_b.json").write_text("[]")
    (run,) = read_runs([tmp_path / "r"])
    with pytest.raises(ValueError, match=r"details/a_b\.json must hold a JSON object"):
        run.detail("a/b", "found")


def test_natural_order() -> None:
    names = ["k10", "k3", "acc1", "k1", "set٣", "set2", "9", "a"]
    ordered = ["acc1", "k1", "k3", "k10", "set2", "set٣"]
    assert sorted(names, key=natural)[-6:] == ordered
