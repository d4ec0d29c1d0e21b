from __future__ import annotations

from pathlib import Path

import pytest

from cyclip_pl.evaluation.sets.captions import CaptionSet
from cyclip_pl.evaluation.sets.classification import ClassificationSet
from cyclip_pl.evaluation.sets.interface import LabelledSet, Unusable
from cyclip_pl.evaluation.sets.labels_csv import LabelsCSV
from cyclip_pl.evaluation.sets.library import Library, open_labelled
from cyclip_pl.evaluation.sets.setting import set_name
from cyclip_pl.evaluation.sets.torchvision_set import TorchvisionSet
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


def test_the_test_images_are_not_a_validation_split(tmp_path: Path) -> None:
    """A folder of the authors' that is one split itself answers to its own name, and to `test`."""
    write_split(tmp_path / "csv/val", [0, 1])
    write_split(tmp_path / "csv/val/train", [0, 1], first=2)
    (found,) = Library().splits({"csv": str(tmp_path / "csv/val")}, "train", "test", "x", "val")
    assert len(found.test) == 2 and found.val is None


def test_errors_name_the_setting(tmp_path: Path) -> None:
    sets = {"s": str(coded_set(tmp_path / "s", [0], ["a"], shards=1))}
    captions = {"c": str(caption_set(tmp_path / "c", [["a"], ["b"]]))}
    library = Library()
    for opened, specs in ((library.labelled, sets), (library.captioned, captions)):
        with pytest.raises(ValueError, match=r"^evaluation\.x\.datasets: .*has no split 'dev'"):
            opened(specs, "dev", "evaluation.x.datasets")
    with pytest.raises(ValueError, match=r"^evaluation\.x\.datasets: .*has no split 'train'"):
        library.splits(sets, "train", "test", "evaluation.x.datasets")
    with pytest.raises(ValueError, match=r"^evaluation\.x\.datasets: .*/s has no captions: "):
        library.captioned(sets, "test", "evaluation.x.datasets")
    with pytest.raises(ValueError, match=r"^evaluation\.x\.datasets: .*/c has no classes: "):
        library.labelled(captions, "test", "evaluation.x.datasets")
    write_split(tmp_path / "csv/test", [0])
    train = write_split(tmp_path / "csv/train", [0], first=1)
    (train / "classes.py").write_text('{"classes": ["one", "zero", "two"]}')
    with pytest.raises(ValueError, match=r"^x: .*csv: the split 'train' has other classes"):
        library.splits({"csv": str(tmp_path / "csv")}, "train", "test", "x")
    emoji = {"e": str(tmp_path / "emoji/emoji_captions")}
    with pytest.raises(ValueError, match=r"cyclip-prepare emoji` makes the emoji sets$"):
        library.captioned(emoji, "test", "x")


@pytest.fixture
def typed(tmp_path: Path) -> dict[str, str]:
    """Three sets: with classes, with captions, with classes and a split `train`."""
    coded_set(tmp_path / "both", [0, 1], ["a", "b"])
    coded_set(tmp_path / "both", [1, 0], ["a", "b"], split="train", first=2)
    return {
        "s": str(coded_set(tmp_path / "s", [0], ["a"], shards=1)),
        "c": str(caption_set(tmp_path / "c", [["a"], ["b"]])),
        "both": str(tmp_path / "both"),
    }


def test_each_evaluation_takes_the_typed_sets_that_it_can_use(
    typed: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    library = Library(datasets=[typed])

    def skipped() -> list[str]:
        lines = [record.getMessage() for record in caplog.records]
        caplog.clear()
        return lines

    x = "evaluation.x.datasets"
    assert [found.name for found in library.labelled(typed, "test", x)] == ["s", "both"]
    (line,) = skipped()
    assert line.startswith(f"evaluation.x skips c: {typed['c']} has no classes: ")
    assert [found.name for found in library.captioned(typed, "test", x)] == ["c"]
    assert [line.split(":")[0] for line in skipped()] == [
        "evaluation.x skips s",
        "evaluation.x skips both",
    ]
    assert [found.test.name for found in library.splits(typed, "train", "test", x)] == ["both"]
    assert "s has no split 'train'" in skipped()[0]
    found = library.any_kind(typed, "test", x)
    assert [isinstance(one, CaptionSet) for one in found] == [False, True, False]
    assert not skipped()

    def check(dataset: LabelledSet) -> None:
        if len(dataset) < 2:
            raise Unusable(f"{dataset.name} has no pairs")

    assert [found.name for found in library.labelled(typed, "test", x, check)] == ["both"]
    assert "evaluation.x skips s: s has no pairs" in skipped()


def test_an_evaluation_that_can_use_none_of_them_is_one_line(typed: dict[str, str]) -> None:
    only = {"s": typed["s"]}
    for library in (Library(datasets=only), Library(datasets=[only])):
        with pytest.raises(
            ValueError,
            match=r"^evaluation\.datasets: evaluation\.x can use none of these sets "
            r"\(.*/s has no captions: .*\); add one that it can use, set evaluation\.x\.datasets",
        ):
            library.captioned(only, "test", "evaluation.x.datasets")


def test_what_is_wrong_with_a_typed_set_is_never_skipped(typed: dict[str, str]) -> None:
    (Path(typed["s"]) / "test/0.tar").unlink()
    with pytest.raises(ValueError, match=r"^evaluation\.x\.datasets: .*0\.tar is missing"):
        Library(datasets=[typed]).labelled(typed, "test", "evaluation.x.datasets")


def test_an_evaluations_own_list_is_strict(typed: dict[str, str]) -> None:
    own = {"mine": typed["c"], "both": typed["both"]}
    for library in (Library(), Library(datasets=[typed])):
        with pytest.raises(ValueError, match=r"^evaluation\.x\.datasets: .*/c has no classes"):
            library.labelled(own, "test", "evaluation.x.datasets")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_each_kind_of_set_is_what_it_looks_like(here) -> None:
    files.gtsrb("test")(here / "vision", [0, 1], 0)
    coded_set(here / "wds_x", [0, 1, 2], ["a", "b", "c"])
    write_split(here / "csv/test", [0, 1, 2, 1])
    kinds = {
        "gtsrb": (TorchvisionSet, 2, "gtsrb"),
        "wds_x": (ClassificationSet, 3, "wds_x"),
        str(here / "wds_x/"): (ClassificationSet, 3, "wds_x"),
        (here / "wds_x").as_uri(): (ClassificationSet, 3, "wds_x"),
        "wds_x/test/{0..1}.tar": (ClassificationSet, 3, "wds_x"),
        "csv": (LabelsCSV, 4, "csv"),
        "csv/test": (LabelsCSV, 4, "test"),
    }
    for spec, (kind, images, name) in kinds.items():
        dataset = open_labelled(spec, root="vision", downloads=here / "cache")
        assert (type(dataset), len(dataset), dataset.name) == (kind, images, name), spec
        assert set_name(spec) == name
        assert len(dataset.classnames) > int(dataset.label_N.max())
        assert dataset.image(1).getpixel((0, 0)) == (1, 0, 0)
        assert dataset.where(1)
        named = open_labelled(spec, "test", "other", root="vision", downloads=here / "cache")
        assert named.name == "other"


def test_a_folder_called_like_a_set(here) -> None:
    coded_set(here / "gtsrb", [0], ["a"], shards=1)
    assert isinstance(open_labelled("./gtsrb"), ClassificationSet)
    with pytest.raises(ValueError, match="put its files there"):
        open_labelled("gtsrb", download=False)


def test_sets_behind_urls_go_by_name(here) -> None:
    with pytest.raises(
        ValueError, match=r"clip-benchmark/wds_imagenet-a is not in .*library.download is false$"
    ):
        open_labelled("imagenet_a", downloads="cache", download=False)


def test_an_unknown_set_is_one_line(here) -> None:
    with pytest.raises(
        ValueError, match=r"^cifar1000 is neither a folder nor .*; did you mean cifar100\?$"
    ):
        open_labelled("cifar1000")
    with pytest.raises(ValueError, match=r"^zzz is neither a folder .* \(aircraft, caltech101, "):
        open_labelled("zzz")
    with pytest.raises(ValueError, match="no classification set at .*nowhere/x"):
        open_labelled("nowhere/x")
    write_split(here / "csv/train", [0])
    with pytest.raises(ValueError, match="csv has no test/labels.csv; its splits: train"):
        open_labelled("csv")
