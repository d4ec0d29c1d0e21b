"""Parquet files of images and of paths."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cyclip_pl.data.prepare.items import BadRow, Item
from cyclip_pl.data.prepare.sources import parquet
from cyclip_pl.data.prepare.sources.columns import Columns
from cyclip_pl.data.prepare.sources.parquet import parquet_source
from tests.data.prepare import pictures

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def found(*arguments, **options) -> list[Item | BadRow]:
    return list(parquet_source(*arguments, **options).entries())


@pytest.mark.parametrize("kind", ["struct", "bytes", "path"])
def test_every_row_is_an_image_with_its_captions(tmp_path: Path, kind: str) -> None:
    pictures.with_texts(tmp_path / "images")
    path = pictures.parquet(tmp_path / "a.parquet", kind=kind)
    items = {e.number: e for e in found([path]) if isinstance(e, Item)}
    assert sorted(items) == list(range(30)) != list(items), "shuffled"
    for number, item in items.items():
        assert item.captions == (f"image {number}", f"number {number}")
        assert item.load() == pictures.png(number)


@pytest.mark.parametrize("start", [0, 1, 7, 20, 29, 30])
def test_a_start_in_the_middle(tmp_path: Path, start: int, monkeypatch) -> None:
    monkeypatch.setattr(parquet, "ROWS_AT_A_TIME", 3)
    source = parquet_source([pictures.parquet(tmp_path / "a.parquet")])
    numbers = [entry.number for entry in source.entries()]
    assert [entry.number for entry in source.entries(start)] == numbers[start:]


def test_several_files_a_folder_and_a_pattern(tmp_path: Path) -> None:
    one = pictures.parquet(tmp_path / "d/1.parquet", 4)
    two = pictures.parquet(tmp_path / "d/deep/2.parquet", 5)
    for given in ([one, two], [tmp_path / "d"], [f"{tmp_path}/d/**/*.parquet"]):
        source = parquet_source(given)
        assert source.total == 9 == len({entry.number for entry in source.entries()})


def test_labels_are_texts_or_numbers_with_names(tmp_path: Path) -> None:
    path = pictures.parquet(tmp_path / "a.parquet", 6)
    source = parquet_source([path], Columns(label="label"))
    assert source.classnames == sorted(pictures.CLASSES)
    assert {e.label for e in source.entries() if isinstance(e, Item)} == set(pictures.CLASSES)
    numbers = Columns(label="number")
    with pytest.raises(ValueError, match="the labels are numbers"):
        parquet_source([path], numbers)
    names = tmp_path / "names.txt"
    names.write_text("\n".join("abcdef"))
    assert parquet_source([path], numbers, classnames=names).classnames == list("abcdef")
    # As `datasets` writes classes.
    table = pq.read_table(path)
    about = {"info": {"features": {"number": {"names": list("uvwxyz"), "_type": "ClassLabel"}}}}
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(about)}), path)
    assert parquet_source([path], numbers).classnames == list("uvwxyz")


def test_bad_cells_are_bad_rows(tmp_path: Path) -> None:
    rows = {
        "image": [{"bytes": None, "path": None}, None, {"bytes": b"x", "path": "a"}] * 2,
        "caption": ["a", "b", "", None, "e", "f"],
    }
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pq.write_table(pa.table({"image": pa.array(rows["image"], kind), "caption": rows["caption"]}),
                   tmp_path / "a.parquet")  # fmt: skip
    reasons = {e.number: e.reason for e in found([tmp_path / "a.parquet"]) if isinstance(e, BadRow)}
    assert reasons == {
        0: "no image", 1: "no image", 2: "empty caption", 3: "empty caption", 4: "no image",
    }  # fmt: skip


def test_files_that_do_not_serve_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and no more")
    path = pictures.parquet(tmp_path / "a.parquet", 3)
    cases = {
        r"^--parquet .*none\.parquet: no such file$": [tmp_path / "none.parquet"],
        r"^--parquet .*broken\.parquet: ": [tmp_path / "broken.parquet"],
    }
    for message, given in cases.items():
        with pytest.raises(ValueError, match=message) as error:
            parquet_source(given)
        assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=r"'captions': no such column .* mean caption\?$"):
        parquet_source([path], Columns(caption="captions"))


def test_another_content_is_another_source(tmp_path: Path) -> None:
    path = pictures.parquet(tmp_path / "a.parquet", 6)
    before = parquet_source([path]).settings
    pictures.parquet(path, 6)
    assert parquet_source([path]).settings == before
    pictures.parquet(path, 7)
    assert parquet_source([path]).settings != before
