"""Training shards and evaluation sets of the same images."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cyclip_pl.data.prepare import core
from cyclip_pl.data.prepare.plan import Plan
from cyclip_pl.data.prepare.report import Report
from cyclip_pl.data.prepare.sources.folders import folder_source
from cyclip_pl.evaluation.sets.captions import CaptionSet
from cyclip_pl.evaluation.sets.classification import ClassificationSet
from tests.data.prepare import pictures
from tests.data.prepare.reading import read_tars

NAMES = ["black cat", "dog", "owl"]


def prepare(folder: Path, output: Path, plan: Plan, **options) -> Report:
    report = core.prepare(folder_source(folder, plan.make, **options), output, plan)
    assert report is not None
    return report


def images(output: Path, part: str) -> list[bytes]:
    return [m["png"] for m in read_tars(sorted((output / part).glob("*.tar"))).values()]


def test_a_set_of_class_folders_is_what_evaluations_open(tmp_path: Path) -> None:
    folder = pictures.class_folders(tmp_path / "mine")
    prepare(folder, tmp_path / "out", Plan("classification"))
    found = ClassificationSet(tmp_path / "out")
    assert len(found) == 30 and found.classnames == NAMES
    assert found.templates == ["a photo of a {c}", "{c}"]
    by_image = {pictures.png(number): number % 3 for number in range(30)}
    of_keys = read_tars([tmp_path / "out/test/0.tar"])
    assert {m["png"]: int(m["cls"]) for m in of_keys.values()} == by_image
    assert not (tmp_path / "out/train").exists() and not (tmp_path / "out/val").exists()


def test_a_share_of_the_images_becomes_the_split_train(tmp_path: Path) -> None:
    folder = pictures.class_folders(tmp_path / "mine", 60)
    for copy in range(20):  # of one image, in its class
        (folder / "dog" / f"copy{copy}.png").write_bytes(pictures.png(1))
    prepare(folder, tmp_path / "out", Plan("classification", train_share=0.5))
    test, train = images(tmp_path / "out", "test"), images(tmp_path / "out", "train")
    assert len(test) + len(train) == 80 and min(len(test), len(train)) > 10
    assert not set(test) & set(train), "copies of an image are on one side"
    names = ClassificationSet(tmp_path / "out", "train").classnames
    assert names == ClassificationSet(tmp_path / "out").classnames == NAMES


def test_folders_of_splits_stay_what_they_are(tmp_path: Path) -> None:
    pictures.class_folders(tmp_path / "mine/train", 24)
    pictures.class_folders(tmp_path / "mine/test", 6, first=24)
    pictures.class_folders(tmp_path / "mine/valid", 3, first=30)
    prepare(tmp_path / "mine", tmp_path / "out", Plan("classification"))
    sizes = {split: len(ClassificationSet(tmp_path / "out", split)) for split in
             ("train", "test", "val")}  # fmt: skip
    assert sizes == {"train": 24, "test": 6, "val": 3}
    assert set(images(tmp_path / "out", "test")) == {pictures.png(n) for n in range(24, 30)}
    report = prepare(tmp_path / "mine", tmp_path / "shards", Plan())
    assert report.samples == {".": 24} and "train/ is read, not test, val" in str(report)


def test_a_caption_set_has_all_captions_and_no_image_twice(tmp_path: Path) -> None:
    folder = pictures.with_texts(tmp_path / "mine", 12)
    (folder / "copy.png").write_bytes(pictures.png(3))
    (folder / "copy.txt").write_text("a copy\n")
    report = prepare(folder, tmp_path / "out", Plan("captions"))
    found = CaptionSet(tmp_path / "out")
    assert len(found) == 12
    assert {len(captions) for captions in found.captions} <= {1, 2}
    assert [row.reason for row in report.bad_rows] == ["the same image as another sample's"]


@pytest.mark.parametrize("holdout", [0.3, 18])
def test_no_image_is_trained_on_and_held_out(tmp_path: Path, holdout: float) -> None:
    folder = pictures.with_texts(tmp_path / "mine", 60)
    for copy in range(12):
        (folder / f"copy{copy}.png").write_bytes(pictures.png(copy))
        (folder / f"copy{copy}.txt").write_text("a copy")
    report = prepare(folder, tmp_path / "out", Plan(holdout=holdout))
    train, test = images(tmp_path / "out", "train"), images(tmp_path / "out", "captions/test")
    assert not set(train) & set(test) and len(set(test)) == len(test) > 5
    assert len(set(train) | set(test)) == 60
    assert len(CaptionSet(tmp_path / "out/captions")) == report.samples["captions/test"]
    sizes = json.loads((tmp_path / "out/train/sizes.json").read_text())
    assert sum(sizes.values()) == len(train) and len(sizes) >= 16


def test_held_out_classes_have_their_training_images_beside_them(tmp_path: Path) -> None:
    folder = pictures.class_folders(tmp_path / "mine", 60)
    plan = Plan(holdout=0.3, templates=("the {c}", "{c}!"))
    prepare(folder, tmp_path / "out", plan)
    classes = tmp_path / "out/classes"
    assert sorted(images(classes, "train")) == sorted(images(tmp_path / "out", "train"))
    assert not set(images(classes, "train")) & set(images(classes, "test"))
    assert ClassificationSet(classes).templates == ["the {c}", "{c}!"]
    for members in read_tars(sorted((tmp_path / "out/train").glob("*.tar"))).values():
        about = json.loads(members["json"])
        assert about["captions"] == [f"the {about['class']}", f"{about['class']}!"]
        assert members["txt"].decode() == about["captions"][0] and about["class"] in NAMES


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"make": "shards"}, "--make=shards: must be one of training, classification, captions"),
        ({"shard_size": 0}, "--shard-size=0: must be a whole number of at least 1"),
        ({"holdout": -1}, "--holdout=-1: must be a number at least 0"),
        ({"make": "captions", "holdout": 5}, "--holdout 5: only --make training holds"),
        ({"train_share": 0.5}, "--train-split 0.5: only --make classification"),
        ({"make": "classification", "train_share": 2}, "--train-split=2: must be a number"),
        ({"templates": ["a photo"]}, "--templates 'a photo': must be one line with {c}"),
    ],
)
def test_wrong_options_are_one_line(options, message) -> None:
    with pytest.raises(ValueError) as error:
        Plan(**options)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (Plan(holdout=6), "--holdout 6: there are only 6 images"),
        (Plan(holdout=1e-9), "--holdout 1e-09: no image is left for the evaluation"),
        (Plan("captions"), "--make captions: the images have classes and no captions"),
    ],
)
def test_what_the_images_cannot_give_is_one_line(tmp_path: Path, plan, message) -> None:
    folder = pictures.class_folders(tmp_path / "mine", 6)
    with pytest.raises(ValueError) as error:
        prepare(folder, tmp_path / "out", plan)
    assert str(error.value).startswith(message) and not (tmp_path / "out").exists()
