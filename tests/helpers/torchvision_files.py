"""Small sets in the formats of torchvision's own files, image n is `png(n)`."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torchvision

from tests.helpers.evaluation_sets import png

Write = Callable[[Path, Sequence[int], int], None]
"""(root, labels, number of the first image): writes one split, whose images have 3 classes."""


def _file(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def _folders(root: Path, labels: Sequence[int], first: int, names: Sequence[str]) -> None:
    """One folder per class; the readers sort by class and then by file."""
    for n, label in enumerate(labels, first):
        _file(root / names[label] / f"{n:05d}.png", png(n))


def eurosat(root: Path, labels: Sequence[int], first: int) -> None:
    _folders(root / "eurosat/2750", labels, first, ("AnnualCrop", "Forest", "SeaLake"))


def country211(split: str) -> Write:
    return lambda root, labels, first: _folders(
        root / "country211" / split, labels, first, ("AD", "AE", "AF")
    )


def rendered_sst2(split: str) -> Write:
    return lambda root, labels, first: _folders(
        root / "rendered-sst2" / split, labels, first, ("negative", "positive")
    )


def imagenet(split: str) -> Write:
    def write(root: Path, labels: Sequence[int], first: int) -> None:
        wnids = ("n01440764", "n01443537", "n01484850")
        _folders(root / "imagenet" / split, labels, first, wnids)
        names = {wnid: (f"name_{wnid}", "synonym") for wnid in wnids}
        torch.save((names, list(wnids)), root / "imagenet/meta.bin")

    return write


def food101(split: str) -> Write:
    def write(root: Path, labels: Sequence[int], first: int) -> None:
        paths: dict[str, list[str]] = {name: [] for name in ("apple_pie", "bibimbap", "waffles")}
        for n, label in enumerate(labels, first):
            name = list(paths)[label]
            paths[name].append(f"{name}/{n}")
            _file(root / f"food-101/images/{name}/{n}.jpg", png(n))
        _file(root / f"food-101/meta/{split}.json", json.dumps(paths).encode())

    return write


def dtd(split: str) -> Write:
    def write(root: Path, labels: Sequence[int], first: int) -> None:
        lines = []
        for n, label in enumerate(labels, first):
            name = ("banded", "dotted", "zigzagged")[label]
            lines.append(f"{name}/{name}_{n}.jpg\n")
            _file(root / f"dtd/dtd/images/{name}/{name}_{n}.jpg", png(n))
        _file(root / f"dtd/dtd/labels/{split}1.txt", "".join(lines).encode())

    return write


def oxford_pets(split: str) -> Write:
    def write(root: Path, labels: Sequence[int], first: int) -> None:
        lines = []
        for n, label in enumerate(labels, first):
            image = f"{('Abyssinian', 'basset_hound', 'Bengal')[label]}_{n}"
            lines.append(f"{image} {label + 1} 1 1\n")
            _file(root / f"oxford-iiit-pet/images/{image}.jpg", png(n))
        _file(root / f"oxford-iiit-pet/annotations/{split}.txt", "".join(lines).encode())

    return write


def aircraft(split: str) -> Write:
    def write(root: Path, labels: Sequence[int], first: int) -> None:
        data = root / "fgvc-aircraft-2013b/data"
        names = ("707-320", "A300B4", "Tu-154")
        lines = [f"{n:07d} {names[label]}\n" for n, label in enumerate(labels, first)]
        for n in range(first, first + len(labels)):
            _file(data / f"images/{n:07d}.jpg", png(n))
        _file(data / f"images_variant_{split}.txt", "".join(lines).encode())
        _file(data / "variants.txt", "".join(f"{name}\n" for name in names).encode())

    return write


def gtsrb(split: str) -> Write:
    def write(root: Path, labels: Sequence[int], first: int) -> None:
        base = root / "gtsrb"
        rows = ["Filename;ClassId\n"]
        for n, label in enumerate(labels, first):
            rows.append(f"{n:05d}.ppm;{label}\n")
            where = f"Training/{label:05d}" if split == "train" else "Final_Test/Images"
            _file(base / "GTSRB" / where / f"{n:05d}.ppm", png(n))
        if split == "test":
            _file(base / "GT-final_test.csv", "".join(rows).encode())

    return write


def caltech101(root: Path, labels: Sequence[int], first: int) -> None:
    names = ("Faces_easy", "accordion", "yin_yang")  # as they are sorted
    seen = dict.fromkeys(names, 0)
    for n, label in enumerate(labels, first):
        seen[names[label]] += 1
        image = f"{names[label]}/image_{seen[names[label]]:04d}.jpg"
        _file(root / "caltech101/101_ObjectCategories" / image, png(n))
    (root / "caltech101/101_ObjectCategories/BACKGROUND_Google").mkdir(exist_ok=True)


def _pixels(labels: Sequence[int], first: int, side: int) -> np.ndarray:
    """uint8, (N, side, side, 3), coloured as `png`."""
    codes = np.arange(first, first + len(labels))
    colours = np.stack([codes % 256, codes // 256, 0 * codes], axis=1).astype(np.uint8)
    return np.broadcast_to(colours[:, None, None], (len(labels), side, side, 3))


def mnist(split: str) -> Write:
    """Grey: image n has grey value n."""

    def write(root: Path, labels: Sequence[int], first: int) -> None:
        raw = root / "MNIST/raw"
        images = _pixels(labels, first, 28)[..., 0]
        sizes = b"".join(size.to_bytes(4, "big") for size in images.shape)
        _file(raw / f"{split}-images-idx3-ubyte", b"\0\0\x08\x03" + sizes + images.tobytes())
        count = len(labels).to_bytes(4, "big")
        _file(raw / f"{split}-labels-idx1-ubyte", b"\0\0\x08\x01" + count + bytes(labels))

    return write


def mat(path: Path, **arrays: object) -> Path:
    from scipy.io import savemat

    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, arrays)
    return path


def stanford_cars(split: str) -> Write:
    def write(root: Path, labels: Sequence[int], first: int) -> None:
        base = root / "stanford_cars"
        for n in range(first, first + len(labels)):
            _file(base / f"cars_{split}/{n:05d}.jpg", png(n))
        rows = [(f"{n:05d}.jpg", label + 1) for n, label in enumerate(labels, first)]
        annotations = np.array(rows, dtype=[("fname", "O"), ("class", "O")])
        path = (
            "devkit/cars_train_annos.mat" if split == "train" else "cars_test_annos_withlabels.mat"
        )
        mat(base / path, annotations=annotations)
        names = np.array(["AM General Hummer", "Acura RL", "smart fortwo"], dtype=object)
        mat(base / "devkit/cars_meta.mat", class_names=names)

    return write


# --- sets whose files torchvision checks: the classes get the check sums of these files ---


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def cifar(root: Path, labels: dict[str, Sequence[int]], monkeypatch, classes: int = 10) -> None:
    """Both splits of CIFAR-10 or CIFAR-100; image numbers go on from `train` to `test`."""
    cls = {10: torchvision.datasets.CIFAR10, 100: torchvision.datasets.CIFAR100}[classes]
    key = "labels" if classes == 10 else "fine_labels"
    first = 0
    for split, of_split in labels.items():
        data = _pixels(of_split, first, 32).transpose(0, 3, 1, 2).reshape(len(of_split), -1)
        name = f"{split}_made"
        path = _file(
            root / cls.base_folder / name,
            pickle.dumps({"data": np.ascontiguousarray(data), key: list(of_split)}),
        )
        monkeypatch.setattr(cls, f"{split}_list", [[name, _md5(path)]])
        first += len(of_split)
    names = {cls.meta["key"]: [f"class_{n}" for n in range(classes)]}
    path = _file(root / cls.base_folder / cls.meta["filename"], pickle.dumps(names))
    monkeypatch.setattr(cls, "meta", {**cls.meta, "md5": _md5(path)})


def stl10(root: Path, labels: dict[str, Sequence[int]], monkeypatch) -> None:
    cls = torchvision.datasets.STL10
    first = 0
    base = root / cls.base_folder
    for split, of_split in labels.items():
        # Column by column, classes from 1.
        data = _pixels(of_split, first, 96).transpose(0, 3, 2, 1)
        paths = [
            _file(base / f"{split}_X.bin", data.tobytes()),
            _file(base / f"{split}_y.bin", bytes(label + 1 for label in of_split)),
        ]
        monkeypatch.setattr(cls, f"{split}_list", [[path.name, _md5(path)] for path in paths])
        first += len(of_split)
    _file(base / cls.class_names_file, b"airplane\nbird\ncar\n")


def svhn(root: Path, labels: dict[str, Sequence[int]], monkeypatch) -> None:
    cls = torchvision.datasets.SVHN
    first = 0
    listed = dict(cls.split_list)
    for split, of_split in labels.items():
        data = _pixels(of_split, first, 32).transpose(1, 2, 3, 0)
        digits = np.array([[label or 10] for label in of_split], dtype=np.uint8)  # 0 is class 10
        path = mat(root / f"{split}_32x32.mat", X=data, y=digits)
        listed[split] = ["", path.name, _md5(path)]
        first += len(of_split)
    monkeypatch.setattr(cls, "split_list", listed)


def flowers102(root: Path, labels: dict[str, Sequence[int]], monkeypatch) -> None:
    cls = torchvision.datasets.Flowers102
    base = root / "flowers-102"
    every = [label for of_split in labels.values() for label in of_split]
    for n in range(len(every)):
        _file(base / f"jpg/image_{n + 1:05d}.jpg", png(n))
    first = 1
    ids = {}
    for split, of_split in labels.items():
        ids[cls._splits_map[split]] = np.arange(first, first + len(of_split))
        first += len(of_split)
    paths = {
        "label": mat(base / "imagelabels.mat", labels=np.array(every) + 1),
        "setid": mat(base / "setid.mat", **ids),
    }
    found = {kind: (path.name, _md5(path)) for kind, path in paths.items()}
    monkeypatch.setattr(cls, "_file_dict", {**cls._file_dict, **found})
