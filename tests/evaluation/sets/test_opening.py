from __future__ import annotations

import pytest

from cyclip_pl.evaluation.sets.classification import ClassificationSet
from cyclip_pl.evaluation.sets.labels_csv import LabelsCSV
from cyclip_pl.evaluation.sets.library import open_labelled
from cyclip_pl.evaluation.sets.setting import set_name
from cyclip_pl.evaluation.sets.torchvision_set import TorchvisionSet
from tests.helpers import torchvision_files as files
from tests.helpers.evaluation_sets import coded_set
from tests.helpers.labels_csv import write_split


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
