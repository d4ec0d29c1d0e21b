"""torchvision's sets, from small files in their own formats."""

from __future__ import annotations

import pickle
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
import torchvision

from cyclip_pl.evaluation.sets import catalogue, torchvision_set
from cyclip_pl.evaluation.sets.torchvision_set import TorchvisionSet
from cyclip_pl.images import Undecodable
from tests.helpers import torchvision_files as files

TRAIN, TEST = (0, 0, 1, 2), (0, 1, 1, 2, 2)  # sorted: folders of classes are read in this order


@pytest.fixture(autouse=True)
def _without_clip_benchmark(monkeypatch):
    monkeypatch.setattr(catalogue, "_packaged", lambda file: {})


def in_parts(train, test):
    def write(root: Path, monkeypatch) -> None:
        train(root, TRAIN, 0)
        test(root, TEST, len(TRAIN))

    return write


def at_once(write):
    return lambda root, monkeypatch: write(root, {"train": TRAIN, "test": TEST}, monkeypatch)


SETS = {
    "aircraft": (in_parts(files.aircraft("trainval"), files.aircraft("test")), "A300B4"),
    "cifar10": (at_once(files.cifar), "class 1"),
    "cifar100": (
        lambda root, monkeypatch: files.cifar(
            root, {"train": TRAIN, "test": TEST}, monkeypatch, 100
        ),
        "class 1",
    ),
    "country211": (in_parts(files.country211("train"), files.country211("test")), "AE"),
    "food101": (in_parts(files.food101("train"), files.food101("test")), "bibimbap"),
    "gtsrb": (in_parts(files.gtsrb("train"), files.gtsrb("test")), "speed limit 30"),
    "imagenet": (in_parts(files.imagenet("train"), files.imagenet("val")), "name n01443537"),
    "oxford_pets": (
        in_parts(files.oxford_pets("trainval"), files.oxford_pets("test")),
        "Basset Hound",
    ),
    "stanford_cars": (
        in_parts(files.stanford_cars("train"), files.stanford_cars("test")),
        "Acura RL",
    ),
    "stl10": (at_once(files.stl10), "bird"),
    "svhn": (at_once(files.svhn), "one"),
}


@pytest.mark.parametrize("entry", SETS)
def test_labels_names_and_images(tmp_path, monkeypatch, entry) -> None:
    write, name_of_1 = SETS[entry]
    write(tmp_path, monkeypatch)
    first = 0
    for split, labels in (("train", TRAIN), ("test", TEST)):
        dataset = TorchvisionSet(entry, split, tmp_path, download=False)
        assert dataset.name == entry
        assert dataset.label_N.dtype == torch.int64 and dataset.label_N.tolist() == list(labels)
        assert dataset.classnames[1] == name_of_1 and len(dataset.classnames) >= 3
        for n in range(len(labels)):
            image = dataset.image(n)
            assert image.mode == "RGB" and image.getpixel((3, 3)) == (first + n, 0, 0)
            # The attributes agree with the items.
            assert dataset._parts[0][n][1] == labels[n]
        assert dataset.key(1) == "1" and dataset.where(1).endswith(f"{entry} {split}, image 1")
        first += len(labels)


@pytest.mark.parametrize("entry", ["country211", "cifar10", "oxford_pets", "stanford_cars"])
def test_the_fingerprint_is_of_this_splits_content(tmp_path, monkeypatch, entry) -> None:
    def fingerprint(split="test"):
        return TorchvisionSet(entry, split, tmp_path, download=False, name="any").fingerprint

    write, _ = SETS[entry]
    write(tmp_path, monkeypatch)
    known = fingerprint()
    assert fingerprint() == known != fingerprint("train")
    monkeypatch.setattr(sys.modules[__name__], "TRAIN", (0, 0, 1, 1))
    write(tmp_path, monkeypatch)
    assert fingerprint() == known
    monkeypatch.setattr(files, "png", lambda n: b"others" + bytes([n]))
    monkeypatch.setattr(files, "_pixels", lambda *a, real=files._pixels: real(*a) ^ 1)
    write(tmp_path, monkeypatch)
    assert fingerprint() != known


def test_splits_in_two_parts(tmp_path) -> None:
    files.dtd("train")(tmp_path, TRAIN, 0)
    files.dtd("val")(tmp_path, TEST, 4)
    files.dtd("test")(tmp_path, [1, 0, 2], 9)
    test = TorchvisionSet("dtd", "test", tmp_path)
    train = TorchvisionSet("dtd", "train", tmp_path)
    assert test.label_N.tolist() == [1, 0, 2]
    assert test.classnames == ["banded", "dotted", "zigzagged"]
    assert train.label_N.tolist() == [*TRAIN, *TEST]
    assert [train.image(n).getpixel((0, 0))[0] for n in range(9)] == list(range(9))
    assert (train.key(3), train.key(4)) == ("0/3", "1/0")
    assert len(train.fingerprint) == 64


@pytest.mark.skipif(
    not hasattr(torchvision.datasets.Flowers102, "classes"),
    reason="torchvision before 0.22 has no names",
)
def test_flowers_train_on_train_and_validation(tmp_path, monkeypatch) -> None:
    labels = {"train": TRAIN, "val": TEST, "test": (2, 101)}
    files.flowers102(tmp_path, labels, monkeypatch)
    train = TorchvisionSet("flowers102", "train", tmp_path)
    assert train.label_N.tolist() == [*TRAIN, *TEST]
    assert train.image(8).getpixel((0, 0)) == (8, 0, 0)
    test = TorchvisionSet("flowers102", "test", tmp_path)
    assert (len(test.classnames), test.label_N.tolist()) == (102, [2, 101])


def test_sets_without_published_splits(tmp_path) -> None:
    files.eurosat(tmp_path, TEST, 0)
    assert TorchvisionSet("eurosat", "test", tmp_path).label_N.tolist() == list(TEST)
    with pytest.raises(ValueError, match="eurosat has no split 'train'; it has: test$"):
        TorchvisionSet("eurosat", "train", tmp_path)

    labels = [0] * 35 + [1] * 31 + [2] * 30
    files.caltech101(tmp_path, labels, 0)
    train = TorchvisionSet("caltech101", "train", tmp_path)
    test = TorchvisionSet("caltech101", "test", tmp_path)
    assert train.classnames == ["Faces easy", "accordion", "yin yang"]
    assert torch.bincount(train.label_N).tolist() == [30, 30, 30]
    assert torch.bincount(test.label_N).tolist() == [5, 1]
    both = {d.image(n).getpixel((0, 0))[0]: labels[int(d.key(n))] for d in (train, test)
            for n in range(len(d))}  # fmt: skip
    assert both == dict(enumerate(labels))
    assert train.fingerprint != test.fingerprint
    # One more image in a class leaves the others' as they were.
    kept = [test.key(n) for n in range(5)]
    files.caltech101(tmp_path, [0] * 35 + [1] * 32 + [2] * 30, 0)
    test = TorchvisionSet("caltech101", "test", tmp_path)
    assert [test.key(n) for n in range(5)] == kept


def test_mnist_is_grey(tmp_path) -> None:
    files.mnist("train")(tmp_path, TRAIN, 0)
    files.mnist("t10k")(tmp_path, TEST, 7)
    dataset = TorchvisionSet("mnist", "test", tmp_path)
    assert dataset.classnames == list("0123456789")
    assert dataset.image(0).mode == "L" and dataset.image(0).getpixel((0, 0)) == 7
    assert dataset.label_N.tolist() == list(TEST)


def test_sst2_has_two_classes(tmp_path) -> None:
    files.rendered_sst2("test")(tmp_path, [0, 1, 1], 0)
    dataset = TorchvisionSet("rendered_sst2", "test", tmp_path)
    assert dataset.classnames == ["negative", "positive"]
    assert dataset.label_N.tolist() == [0, 1, 1]


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("unpickled",))


def test_a_pickle_is_not_opened_before_its_check(tmp_path, monkeypatch) -> None:
    files.cifar(tmp_path, {"train": TRAIN, "test": TEST}, monkeypatch)
    (tmp_path / "cifar-10-batches-py/test_made").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ValueError, match="cifar10 is not in .*corrupted"):
        TorchvisionSet("cifar10", "test", tmp_path, download=False)


def test_a_damaged_image_fails_when_it_is_read(tmp_path) -> None:
    files.food101("test")(tmp_path, TEST, 0)
    dataset = TorchvisionSet("food101", "test", tmp_path)
    (tmp_path / "food-101/images/apple_pie/0.jpg").write_bytes(b"not an image")
    (tmp_path / "food-101/images/bibimbap/1.jpg").unlink()
    for n, reason in enumerate(("not an image of these kinds", "No such file")):
        with pytest.raises(Undecodable, match=reason):
            dataset.image(n)


def test_labels_beyond_the_classes(tmp_path) -> None:
    files.gtsrb("test")(tmp_path, [0, 43], 0)
    with pytest.raises(ValueError, match=r"gtsrb: the labels in .* are not of 43 classes"):
        TorchvisionSet("gtsrb", "test", tmp_path)


def test_what_is_not_there_says_what_to_do(tmp_path, monkeypatch) -> None:
    with pytest.raises(ValueError, match=rf"cifar10 is not in {tmp_path} as torchvision's CIFAR10 "
                                         "keeps it: put its files there"):  # fmt: skip
        TorchvisionSet("cifar10", "test", tmp_path, download=False)
    with pytest.raises(ValueError, match=r"imagenet is not in .*imagenet as .*ImageNet keeps it: "):
        TorchvisionSet("imagenet", "test", tmp_path)
    with pytest.raises(ValueError, match="stanford_cars is not in .*cannot be downloaded .*broken"):
        TorchvisionSet("stanford_cars", "test", tmp_path)
    monkeypatch.setattr(torchvision_set, "find_spec", lambda package: None)
    with pytest.raises(
        ValueError, match=r"pcam is read with h5py: pip install 'cyclip-pl\[sets\]'"
    ):
        TorchvisionSet("pcam", "test", tmp_path)


# --- downloads: torchvision's, with its network part replaced ---


def downloads(monkeypatch, fetch) -> None:
    """`food101` fetches by `fetch(root)`."""
    monkeypatch.setattr(
        torchvision.datasets.Food101, "_download", lambda self: fetch(Path(self.root))
    )


def test_a_download_is_the_default(tmp_path, monkeypatch) -> None:
    fetched = []

    def fetch(root):
        fetched.append(root)
        files.food101("test")(root, TEST, 0)

    downloads(monkeypatch, fetch)
    for _ in range(2):
        assert TorchvisionSet("food101", "test", tmp_path).label_N.tolist() == list(TEST)
    assert len(fetched) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"food-101", ".food101.lock"}


def test_a_download_joins_what_is_there(tmp_path, monkeypatch) -> None:
    files.gtsrb("train")(tmp_path, TRAIN, 0)
    monkeypatch.setattr(
        torchvision.datasets.GTSRB,
        "download",
        lambda self: files.gtsrb("test")(self._base_folder.parent, TEST, 4),
    )
    assert len(TorchvisionSet("gtsrb", "test", tmp_path)) == len(TEST)
    assert TorchvisionSet("gtsrb", "train", tmp_path, download=False).label_N.tolist() == list(
        TRAIN
    )


def test_a_download_that_breaks_off_leaves_nothing(tmp_path, monkeypatch) -> None:
    def fetch(root):
        files.food101("test")(root, TEST, 0)
        raise OSError("no network\nat all")

    downloads(monkeypatch, fetch)
    with pytest.raises(ValueError, match=r"cannot be downloaded \(no network at all\): put") as e:
        TorchvisionSet("food101", "test", tmp_path)
    assert "\n" not in str(e.value)
    assert {path.name for path in tmp_path.iterdir()} == {".food101.lock"}


def test_two_readers_fetch_once(tmp_path, monkeypatch) -> None:
    fetched = []

    def fetch(root):
        fetched.append(root)
        time.sleep(0.2)
        files.food101("test")(root, TEST, 0)

    downloads(monkeypatch, fetch)
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(TorchvisionSet, "food101", "test", tmp_path) for _ in range(2)]
    assert [len(one.result()) for one in both] == [len(TEST)] * 2
    assert len(fetched) == 1
