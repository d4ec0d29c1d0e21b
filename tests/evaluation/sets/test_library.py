from __future__ import annotations

from pathlib import Path

import pytest

from cyclip_pl.evaluation.sets.library import Library
from tests.helpers import torchvision_files as files
from tests.helpers.evaluation_sets import caption_set, coded_set
from tests.helpers.labels_csv import write_split


def test_a_split_is_opened_once(tmp_path: Path) -> None:
    s = str(coded_set(tmp_path / "s", [0, 1], ["a", "b"]))
    coded_set(tmp_path / "s", [1, 0, 1], ["a", "b"], split="train", first=2)
    library = Library()
    (one,) = library.labelled({"s": s}, "test", "x")
    (both,) = library.splits({"s": s}, "train", "test", "y")
    assert both.test is one and (len(both.train), len(both.test)) == (3, 2)
    (other,) = library.labelled({"other": s}, "test", "x")
    assert other is not one and other.name == "other"
    c = {"c": str(caption_set(tmp_path / "c", [["a"], ["b"]]))}
    assert library.captioned(c, "test", "x")[0] is library.captioned(c, "test", "y")[0]


def test_a_third_split_where_there_is_one(tmp_path: Path) -> None:
    sets = {"wds": str(tmp_path / "wds"), "csv": str(tmp_path / "csv"), "gtsrb": "gtsrb"}
    for first, split in enumerate(("train", "test", "val")):
        coded_set(tmp_path / "wds", [0, 1], ["a", "b"], split=split, first=2 * first)
        write_split(tmp_path / "csv" / split, [0, 1], first=2 * first)
    for split in ("train", "test"):
        files.gtsrb(split)(tmp_path, [0, 1], 0 if split == "train" else 2)
    library = Library(root=tmp_path, download=False)
    wds, csv, gtsrb = library.splits(sets, "train", "test", "x", "val")
    for found in (wds, csv):
        assert found.val is not None and found.val.image(0).getpixel((0, 0)) == (4, 0, 0)
    assert gtsrb.val is None
    assert [found.val for found in library.splits(sets, "train", "test", "x")] == [None] * 3


def test_the_test_images_are_no_validation_split(tmp_path: Path) -> None:
    """A folder of the authors' that is one split itself answers to its own name, and to `test`."""
    write_split(tmp_path / "csv/val", [0, 1])
    write_split(tmp_path / "csv/val/train", [0, 1], first=2)
    (found,) = Library().splits({"csv": str(tmp_path / "csv/val")}, "train", "test", "x", "val")
    assert len(found.test) == 2 and found.val is None


def test_errors_name_the_setting(tmp_path: Path) -> None:
    sets = {"s": str(coded_set(tmp_path / "s", [0], ["a"], shards=1))}
    library = Library()
    for opened in (library.labelled, library.captioned):
        with pytest.raises(ValueError, match=r"^evaluation\.x\.datasets: .*has no split 'dev'"):
            opened(sets, "dev", "evaluation.x.datasets")
    with pytest.raises(ValueError, match=r"^evaluation\.x\.datasets: .*has no split 'train'"):
        library.splits(sets, "train", "test", "evaluation.x.datasets")
    write_split(tmp_path / "csv/test", [0])
    train = write_split(tmp_path / "csv/train", [0], first=1)
    (train / "classes.py").write_text('{"classes": ["one", "zero", "two"]}')
    with pytest.raises(ValueError, match=r"^x: .*csv: the split 'train' has other classes"):
        library.splits({"csv": str(tmp_path / "csv")}, "train", "test", "x")
    emoji = {"e": str(tmp_path / "emoji/emoji_captions")}
    with pytest.raises(ValueError, match=r"cyclip_pl\.data\.prepare emoji` makes the emoji sets$"):
        library.captioned(emoji, "test", "x")
