from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from PIL import Image

from cyclip_pl.data.prepare import core
from cyclip_pl.data.prepare.plan import Plan
from cyclip_pl.data.prepare.report import Report, summary
from cyclip_pl.data.prepare.sources.columns import Columns
from cyclip_pl.data.prepare.sources.csv_table import csv_source
from tests.data.prepare.reading import array, read_tars, tree


def make_images(folder: Path, count: int = 6) -> list[str]:
    (folder / "images").mkdir(parents=True)
    names = []
    for number in range(count):
        kind = ("png", "jpg", "webp")[number % 3]
        names.append(f"images/{number}.v1.{kind}")
        Image.new("RGB", (40, 30), (number * 20, 0, 0)).save(folder / names[-1])
    return names


def make_table(path: Path, rows: list[tuple[str, str]], header=("image", "caption")) -> Path:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writerows([header, *rows])
    return path


def prepare(
    table: Path, output: Path, *, workers: int | None = None, resize: int | None = None,
    force: bool = False, shard_size: int | None = None, seed: int = 0, **options,
) -> Report:  # fmt: skip
    source = csv_source(table, seed=seed, **options)
    report = core.prepare(source, output, Plan("training", shard_size), resize, workers, force)
    assert report is not None
    return report


def read(report: Report) -> Mapping[str, dict[str, bytes]]:
    return read_tars(report.output / name for name in report.parts["."])


def listed(report: Report) -> list[dict[str, str]]:
    with open(report.output / "bad_rows.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_images_pass_unchanged_with_their_captions(tmp_path) -> None:
    names = make_images(tmp_path)
    table = make_table(tmp_path / "pairs.tsv", [(n, f"image “{n}”") for n in names])
    report = prepare(table, tmp_path / "out")
    samples = read(report)
    assert len(samples) == report.captions == 6 and report.bad_rows == [] == listed(report)
    found = {}
    for members in samples.values():
        about = json.loads(members["json"])
        (extension,) = set(members) - {"txt", "json"}
        assert about["captions"] == [members["txt"].decode()] == [f"image “{about['image']}”"]
        assert about["image"].endswith(extension)
        found[about["image"]] = members[extension]
    assert found == {name: (tmp_path / name).read_bytes() for name in names}
    assert json.loads((report.output / "sizes.json").read_text()) == report.parts["."]


def test_rows_of_one_image_are_one_sample(tmp_path) -> None:
    a, b, *_ = make_images(tmp_path)
    rows = [(a, "one"), (b, "other"), (f"./{a}", "two"), (a, "one")]
    report = prepare(make_table(tmp_path / "t.csv", rows), tmp_path / "out")
    captions = {
        json.loads(members["json"])["image"]: json.loads(members["json"])["captions"]
        for members in read(report).values()
    }
    assert captions == {a: ["one", "two"], b: ["other"]} and report.captions == 3


def test_bad_rows_are_listed_and_not_fatal(tmp_path) -> None:
    good, cut, *_ = make_images(tmp_path)
    (tmp_path / cut).write_bytes((tmp_path / cut).read_bytes()[:100])
    rows = [
        ("absent.jpg", "one"),
        (good, "fine"),
        (cut, "two"),
        (good, " "),
        ("https://example.org/a.jpg", "three"),
        ("absent.jpg", "four"),
    ]
    report = prepare(make_table(tmp_path / "t.csv", rows), tmp_path / "out")
    assert sum(report.parts["."].values()) == len(read(report)) == 1
    assert [(row["line"], row["image"]) for row in listed(report)] == [
        ("2", "absent.jpg"),
        ("4", cut),
        ("5", good),
        ("6", "https://example.org/a.jpg"),
        ("7", "absent.jpg"),
    ]
    reasons = [row["reason"] for row in listed(report)]
    assert reasons[0] == reasons[4] == "missing file" and reasons[2] == "empty caption"
    assert reasons[1].startswith("undecodable") and reasons[3].startswith("a URL: download")
    assert json.loads((report.output / "meta.json").read_text())["bad_rows"] == 5
    said = summary(report.bad_rows, report.unit)
    assert said.startswith("5 bad rows (missing file 2, ")
    assert said.endswith("the first on line 2: missing file absent.jpg")


def test_no_good_row_is_an_error_and_no_folder(tmp_path) -> None:
    table = make_table(tmp_path / "t.csv", [("a.jpg", "one"), ("b.jpg", "two")])
    with pytest.raises(ValueError, match=r"no usable image; 2 bad rows \(missing file 2\).*line 2"):
        prepare(table, tmp_path / "out")
    with pytest.raises(ValueError, match="no usable row; 0 bad rows"):
        prepare(make_table(tmp_path / "e.csv", []), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "sizes"),
    [({}, [1] * 6), ({"shard_size": 4}, [4, 2]), ({"shard_size": 6}, [6]), ({"seed": 3}, [1] * 6)],
)
def test_shards_are_the_same_bytes_every_time(tmp_path, options, sizes) -> None:
    names = make_images(tmp_path)
    table = make_table(tmp_path / "t.csv", [(name, name) for name in names])
    report = prepare(table, tmp_path / "one", workers=1, **options)
    assert list(report.parts["."].values()) == sizes
    assert list(report.parts["."]) == [f"{number:05d}.tar" for number in range(len(sizes))]
    again = prepare(table, tmp_path / "two", workers=4, **options)
    assert tree(again.output) == tree(report.output)


def test_the_order_is_shuffled_by_the_seed(tmp_path) -> None:
    names = make_images(tmp_path, 12)
    table = make_table(tmp_path / "t.csv", [(name, name) for name in names])
    orders = [list(read(prepare(table, tmp_path / str(s), seed=s))) for s in (0, 1)]
    assert orders[0] != orders[1] != sorted(orders[1]) == sorted(orders[0])


def test_more_images_than_wait_at_a_time(tmp_path) -> None:
    """The window of images read ahead is smaller than the table."""
    names = make_images(tmp_path, 150)
    table = make_table(tmp_path / "t.csv", [(name, name) for name in names])
    report = prepare(table, tmp_path / "out")
    assert len(report.parts["."]) >= 16
    assert {m["txt"].decode() for m in read(report).values()} == set(names)


def test_resizing(tmp_path) -> None:
    names = make_images(tmp_path)
    table = make_table(tmp_path / "t.csv", [(name, "c") for name in names])
    for members in read(prepare(table, tmp_path / "out", resize=15)).values():
        (extension,) = set(members) - {"txt", "json"}
        assert array(members[extension]).shape == (15, 20, 3)


def test_columns_and_image_root(tmp_path) -> None:
    names = make_images(tmp_path / "store")
    (tmp_path / "tables").mkdir()
    table = make_table(
        tmp_path / "tables" / "t.csv", [(name, "c") for name in names], ("file", "title")
    )
    columns = Columns("file", "title")
    report = prepare(table, tmp_path / "out", image_root=tmp_path / "store", columns=columns)
    assert len(read(report)) == 6
    absolute = make_table(tmp_path / "abs.csv", [(str(tmp_path / "store" / n), "c") for n in names])
    assert len(read(prepare(absolute, tmp_path / "out2"))) == 6


def test_a_second_run_does_nothing_until_the_table_changes(tmp_path) -> None:
    names = make_images(tmp_path)
    table = make_table(tmp_path / "t.csv", [(name, "c") for name in names])
    prepare(table, tmp_path / "out")
    assert core.prepare(csv_source(table), tmp_path / "out") is None
    make_table(table, [(name, "d") for name in names])
    with pytest.raises(ValueError, match="pass --force"):
        prepare(table, tmp_path / "out")
    report = prepare(table, tmp_path / "out", force=True)
    assert {members["txt"] for members in read(report).values()} == {b"d"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shard_size": 0}, "--shard-size=0: must be a whole number of at least 1"),
        ({"resize": 0}, "--resize=0: must be a whole number of at least 1"),
        ({"image_root": "nowhere"}, "--image-root nowhere: no such folder"),
        ({"columns": Columns(caption="title")}, "--caption-key 'title': no such column"),
    ],
)
def test_wrong_settings_are_one_line(tmp_path, options, message) -> None:
    table = make_table(tmp_path / "t.csv", [("a.jpg", "one")])
    with pytest.raises(ValueError, match=message):
        prepare(table, tmp_path / "out", **options)
    with pytest.raises(ValueError, match="no such file"):
        prepare(tmp_path / "absent.csv", tmp_path / "out")


def test_a_name_that_is_not_utf8_does_not_end_the_table(tmp_path) -> None:
    names = make_images(tmp_path)
    odd = os.fsencode(tmp_path) + b"/caf\xe9.png"
    os.link(tmp_path / names[0], odd)
    table = tmp_path / "pairs.csv"
    table.write_bytes(b"image,caption\ncaf\xe9.png,one\n" + f"{names[1]},two\n".encode())
    report = prepare(table, tmp_path / "out")
    assert report.captions == 2 and report.bad_rows == []


def test_the_report_tells_how_marks_were_read(tmp_path) -> None:
    names = make_images(tmp_path)
    table = tmp_path / "pairs.tsv"
    table.write_text(
        f'image\tcaption\n{names[0]}\t"a" b\n{names[1]}\t"never closed\n{names[2]}\tplain\n'
    )
    report = prepare(table, tmp_path / "out")
    texts = {members["txt"].decode() for members in read(report).values()}
    assert texts == {'"a" b', '"never closed', "plain"} and "--quoting csv" in str(report)
    with pytest.raises(ValueError, match="was prepared with quoting='text', not 'csv'"):
        prepare(table, tmp_path / "out", quoting="csv")
