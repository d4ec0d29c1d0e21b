"""Whatever opens a set, a model sees the pixels that training sees."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from cyclip_pl.data.views.evaluation import evaluation_transform
from cyclip_pl.evaluation.sets.captions import CaptionSet
from cyclip_pl.evaluation.sets.classification import ClassificationSet
from cyclip_pl.evaluation.sets.interface import ImageSet
from cyclip_pl.evaluation.sets.labels_csv import LabelsCSV
from cyclip_pl.evaluation.sets.torchvision_set import TorchvisionSet
from cyclip_pl.images import EXTENSIONS, Undecodable, decode_image
from tests.helpers import torchvision_files as files
from tests.helpers.evaluation_sets import png, write_set, write_tar
from tests.helpers.images import KINDS, bomb
from tests.helpers.labels_csv import write_split


def classes(folder: Path, data: bytes) -> ImageSet:
    shard = [("a.png", data), ("a.cls", b"0")]
    return ClassificationSet(write_set(folder / "s", [shard], ["x"]))


def captions(folder: Path, data: bytes) -> ImageSet:
    (folder / "test").mkdir()
    (folder / "test/nshards.txt").write_text("1\n")
    write_tar(folder / "test/0.tar", [("a.png", data), ("a.txt", b"a cat")])
    return CaptionSet(folder)


def labels(folder: Path, data: bytes) -> ImageSet:
    (write_split(folder / "test", [0]) / "images/0.png").write_bytes(data)
    return LabelsCSV(folder)


def torchvision(folder: Path, data: bytes) -> ImageSet:
    files.food101("test")(folder, [0, 1, 2], 0)
    (folder / "food-101/images/apple_pie/0.jpg").write_bytes(data)
    return TorchvisionSet("food101", "test", folder)


Opener = Callable[[Path, bytes], ImageSet]
openers = pytest.mark.parametrize("opener", [classes, captions, labels, torchvision])


@openers
@pytest.mark.parametrize("kind", KINDS)
def test_the_pixels_of_training(tmp_path: Path, opener: Opener, kind: str) -> None:
    data, left, right = KINDS[kind]
    preprocess = evaluation_transform(64)
    seen = preprocess(opener(tmp_path, data).image(0))
    assert torch.equal(seen, preprocess(decode_image(data)))
    assert seen[:, 9, 0].tolist() == list(left) and seen[:, 9, 63].tolist() == list(right)


@openers
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_too_large_is_refused_before_decoding(tmp_path: Path, opener: Opener) -> None:
    with pytest.raises(Undecodable, match="9500 x 9500 pixels, more than"):
        opener(tmp_path, bomb(9_500, 9_500)).image(0)


def test_every_extension_of_training(tmp_path: Path) -> None:
    shard = [(f"{ext}.{name}", data) for ext in EXTENSIONS
             for name, data in ((ext, png()), ("cls", b"0"))]  # fmt: skip
    dataset = ClassificationSet(write_set(tmp_path / "s", [shard], ["x"]))
    assert [dataset.image(n).size for n in range(len(dataset))] == [(8, 8)] * len(EXTENSIONS)


def test_of_several_images_the_one_that_clip_benchmark_takes(tmp_path: Path) -> None:
    shard = [("a.jpg", png(1)), ("a.png", png(2)), ("a.webp", png(3)), ("a.cls", b"0")]
    dataset = ClassificationSet(write_set(tmp_path / "s", [shard], ["x"]))
    assert dataset.image(0).getpixel((0, 0)) == (3, 0, 0)
