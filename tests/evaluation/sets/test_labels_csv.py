from __future__ import annotations

import shutil

import pytest
import torch

from cyclip_pl.evaluation.sets.hierarchies.read import read_hierarchy
from cyclip_pl.evaluation.sets.labels_csv import LabelsCSV
from cyclip_pl.images import Undecodable
from tests.helpers.evaluation_sets import png
from tests.helpers.labels_csv import CLASSES, write_split


def test_reads_labels_names_templates_and_images(tmp_path) -> None:
    write_split(tmp_path / "digits/test", [2, 0, 1])
    write_split(tmp_path / "digits/train", [1, 1], first=7)
    test, train = LabelsCSV(tmp_path / "digits"), LabelsCSV(tmp_path / "digits", "train")
    assert (test.name, len(test), len(train)) == ("digits", 3, 2)
    assert LabelsCSV(tmp_path / "digits", name="other").name == "other"
    assert test.classnames == ["zero", "one", "two"]
    assert test.templates == ["a {c}."]
    assert test.label_N.dtype == torch.int64 and test.label_N.tolist() == [2, 0, 1]
    assert [test.image(n).getpixel((3, 3)) for n in range(3)] == [(n, 0, 0) for n in range(3)]
    assert train.image(1).getpixel((0, 0)) == (8, 0, 0)
    assert train.key(1) == "images/8.png"
    assert train.where(1) == str(tmp_path / "digits/train/images/8.png")


def test_a_mark_in_another_column_loses_no_row(tmp_path) -> None:
    folder = write_split(tmp_path / "test", [2, 0, 1])
    rows = ['images/0.png,2,"open', "images/1.png,0,x", 'images/2.png,1,a 5"', ""]
    (folder / "labels.csv").write_text("image,label,note\n" + "\n".join(rows))
    assert LabelsCSV(folder).label_N.tolist() == [2, 0, 1]


def test_a_split_alone_is_what_the_authors_give(tmp_path) -> None:
    test = write_split(tmp_path / "digits/validation", [0])
    assert len(LabelsCSV(test)) == len(LabelsCSV(test.parent, "validation")) == 1
    train = write_split(tmp_path / "digits/train", [0])
    assert len(LabelsCSV(train, "train")) == 1
    for folder, split in ((test, "train"), (train, "test"), (test.parent, "test")):
        with pytest.raises(ValueError, match=f"has no {split}/labels.csv"):
            LabelsCSV(folder, split)
    with pytest.raises(ValueError, match=r"its splits: train, validation$"):
        LabelsCSV(test.parent, "test")


def test_a_hierarchy_is_a_file_or_the_authors_superclasses(tmp_path) -> None:
    test = write_split(tmp_path / "digits/test", [0])
    assert LabelsCSV(tmp_path / "digits").hierarchy is None
    (test / "classes.py").write_text(CLASSES[:-1] + ', "superclasses": [["zero"], ["one", "two"]]}')
    found = LabelsCSV(tmp_path / "digits").hierarchy
    assert read_hierarchy(found, ["zero", "one", "two"])[0].tolist() == [0, 1, 1]
    for folder in (tmp_path / "digits", test):
        (folder / "hierarchy.json").write_text("{}")
        assert LabelsCSV(tmp_path / "digits").hierarchy == folder / "hierarchy.json"


def test_classes_of_all_splits_and_as_json(tmp_path) -> None:
    folder = write_split(tmp_path / "digits/test", [0])
    (folder / "classes.py").unlink()
    with pytest.raises(ValueError, match=r"neither classes\.py nor classes\.json"):
        LabelsCSV(folder.parent)
    (folder.parent / "classes.json").write_text('{"classes": ["zero"]}')
    dataset = LabelsCSV(folder.parent)
    assert (dataset.classnames, dataset.templates) == (["zero"], None)


def test_a_damaged_image_fails_when_it_is_read(tmp_path) -> None:
    folder = write_split(tmp_path / "test", [0, 0, 0])
    dataset = LabelsCSV(folder)
    (folder / "images/0.png").write_bytes(png()[:45])
    (folder / "images/1.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    (folder / "images/2.png").unlink()
    for n, reason in enumerate(("runcated", "not an image of these kinds", "No such file")):
        with pytest.raises(Undecodable, match=reason):
            dataset.image(n)


def test_the_fingerprint_is_of_the_content(tmp_path) -> None:
    folder = write_split(tmp_path / "a/test", [0, 1])
    same = shutil.copytree(folder.parent, tmp_path / "b")
    known = LabelsCSV(folder).fingerprint
    assert LabelsCSV(same).fingerprint == LabelsCSV(folder.parent, name="x").fingerprint == known
    changes = {
        "labels.csv": "image,label\nimages/0.png,0\nimages/1.png,2\n",
        "classes.py": CLASSES.replace("two", "due"),
    }
    seen = {known}
    for file, text in changes.items():
        before = (folder / file).read_text()
        (folder / file).write_text(text)
        seen.add(LabelsCSV(folder).fingerprint)
        (folder / file).write_text(before)
    (folder / "images/1.png").write_bytes(png(99))
    seen.add(LabelsCSV(folder).fingerprint)
    assert len(seen) == 4


@pytest.mark.parametrize("path", ["../test2/x.png", "/etc/passwd", "images/../../x.png", "..",
                                  "..\\x.png", "\\x.png", "C:\\x.png", "C:x.png"])  # fmt: skip
def test_no_path_leaves_the_folder(tmp_path, path) -> None:
    folder = write_split(tmp_path / "test", [0])
    write_split(tmp_path / "test2", [0])
    (tmp_path / "x.png").write_bytes(png())
    (folder / "labels.csv").write_text(f"image,label\nimages/0.png,0\n{path},0\n")
    with pytest.raises(ValueError, match=r"labels\.csv, line 3: the path .* leads out of the"):
        LabelsCSV(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"image,class\n", r"labels\.csv must have the columns image and label"),
        (b"", r"labels\.csv must have the columns"),
        (b"image,label\n", r"labels\.csv lists no images"),
        (b"image,label\nimages/0.png\n", r"line 2: 1 columns, the header has 2"),
        (b"image,label,label\nimages/0.png,0,1\n", r"must have the columns image and label"),
        (b"image,label\nimages/0.png,\n", r"line 2: a label must be a class number, it is ''"),
        (b'image,label,x\nimages/0.png,0,"b\nx\nimages/0.png,0,c"', r"line 2: .*opens and closes"),
        (b"image,label\nimages/0.png,1.0\n", r"line 2: a label must be .* '1\.0'"),
        (b"image,label\nimages/0.png,-1\n", r"line 2: a label must be .* '-1'"),
        (b"image,label\nimages/0.png,3\n", r"line 2: the label 3 is not one of 0 to 2"),
        (b"image,label\nimages/0.png," + b"9" * 9999, r"line 2: a label must be"),
        (b"image,label\nimages/9.png,0\n", r"line 2: there is no image 'images/9\.png'"),
        (b"image,label\n,0\n", r"line 2: there is no image ''"),
        (b"image,label\nimages\x00,0\n", r"line 2: NUL bytes"),
        (b"image,label\n\xff,0\n", r"labels\.csv is not UTF-8"),
        (b"image,label\n" + b"x" * 200_000 + b",0", r"line 2: there is no image 'x{200}' in"),
    ],
)
def test_what_is_wrong_is_one_line_that_names_it(tmp_path, text, message) -> None:
    folder = write_split(tmp_path / "test", [0])
    (folder / "labels.csv").write_bytes(text)
    with pytest.raises(ValueError, match=message) as caught:
        LabelsCSV(folder)
    assert "\n" not in str(caught.value)
