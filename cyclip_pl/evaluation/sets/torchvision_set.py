"""torchvision's classification sets by name."""

from __future__ import annotations

import hashlib
import inspect
import os
import shutil
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cyclip_pl.evaluation.sets.catalogue import entries, names_and_templates
from cyclip_pl.evaluation.sets.hierarchies.read import SHIPPED
from cyclip_pl.evaluation.sets.interface import NoSplit, content_hash
from cyclip_pl.files import locked, reason
from cyclip_pl.images import Undecodable, check_size, open_image

ROOT = "data/torchvision"

# Where torchvision's classes keep labels and paths. If elsewhere, every item is asked.
_LABELS = ("targets", "labels", "_labels", "y")
_SAMPLES = ("_samples", "samples")
_PATHS = ("_image_files", "_images", *_SAMPLES)  # paths, or pairs that begin with one


class TorchvisionSet:
    """A `LabelledSet`: a set of `catalogue.yaml` that torchvision reads from its own files.

    torchvision checks what it downloads, and CIFAR's pickles before it opens them.

    Args:
        entry: A name in the catalogue.
        split: One of its splits.
        root: The folder that torchvision's classes take.
        download: Fetch files that are not there.
        name: The first part of its metrics' keys; `entry` if None.

    Raises:
        NoSplit: The set has no such split.
        ValueError: One line that names the set and the folder, and what to do.
    """

    def __init__(
        self,
        entry: str,
        split: str = "test",
        root: str | Path = ROOT,
        download: bool = True,
        name: str | None = None,
    ) -> None:
        row = entries()[entry]
        assert row.torchvision is not None
        self.name = name or entry
        self.metric = row.metric
        self.hierarchy = SHIPPED.get(entry)
        self.folder = Path(root).expanduser() / row.folder
        self._of = f"{entry} {split}"
        splits: dict[str, Any] = dict(row.splits) or {"test": {}}
        if row.train_per_class:
            splits = {"train": {}, "test": {}}
        if split not in splits:
            raise NoSplit(f"{entry} has no split {split!r}; it has: {', '.join(splits)}")
        for package in row.needs:
            if find_spec(package) is None:
                raise ValueError(f"{entry} is read with {package}: pip install 'cyclip-pl[sets]'")
        parts = splits[split] if isinstance(splits[split], list) else [splits[split]]
        self._parts = [_open(entry, row.torchvision, a, self.folder, download) for a in parts]

        labels = [_labels(part) for part in self._parts]
        label_N = torch.cat(labels)
        self._places = [(p, n) for p, label_M in enumerate(labels) for n in range(len(label_M))]
        own = list(row.classnames) or _own_names(entry, self._parts[0])
        self.templates: list[str] | None
        self.classnames, self.templates = names_and_templates(self.name, row, own)
        if not len(label_N) or not 0 <= int(label_N.min()) <= int(label_N.max()) < len(own):
            raise ValueError(f"{entry}: the labels in {self.folder} are not of {len(own)} classes")
        if row.train_per_class:
            chosen_N = _chosen(label_N, row.train_per_class) == (split == "train")
            self._places = [self._places[n] for n in chosen_N.nonzero().flatten().tolist()]
            label_N = label_N[chosen_N]
        self.label_N: Tensor = label_N

    def __len__(self) -> int:
        return len(self.label_N)

    def key(self, index: int) -> str:
        """The image's number in its part; preceded by the part's number if there are several."""
        part, number = self._places[index]
        return f"{part}/{number}" if len(self._parts) > 1 else str(number)

    def where(self, index: int) -> str:
        return f"{self.folder}, {self._of}, image {self.key(index)}"

    def image(self, index: int) -> Image.Image:
        part, number = self._places[index]
        try:
            if (path := _path(self._parts[part], number)) is not None:
                return open_image(path.read_bytes())  # torchvision itself drops the transparency
            image: Image.Image = self._parts[part][number][0]
            check_size(image.width, image.height)
            image.load()
            return image
        except Undecodable:
            raise
        except Exception as error:  # damaged bytes raise almost anything in the decoders
            raise Undecodable(reason(error)) from error

    @cached_property
    def fingerprint(self) -> str:
        contents = (_content(self._parts[part], number) for part, number in self._places)
        return content_hash([self.classnames, self.label_N.tolist()], contents)


def _open(name: str, of: str, arguments: dict[str, Any], root: Path, download: bool) -> Any:
    import torchvision  # slow to import, and only these sets need it

    dataset = getattr(torchvision.datasets, of)
    lacking = f"{name} is not in {root} as torchvision's {of} keeps it"
    try:
        return dataset(str(root), **arguments)
    except Exception as error:  # each class has its own way to say so
        if not download or "download" not in inspect.signature(dataset).parameters:
            raise ValueError(f"{lacking}: put its files there ({reason(error)})") from error
    root.mkdir(parents=True, exist_ok=True)
    # Beside the root: the classes take a half-unpacked archive for a whole one.
    partial = root / f".{name}.partial"
    with locked(root / f".{name}.lock"):
        try:
            return dataset(str(root), **arguments)  # fetched by the one that was waited for
        except Exception:
            shutil.rmtree(partial, ignore_errors=True)
        try:
            dataset(str(partial), download=True, **arguments)
            _move_into(partial, root)
        except Exception as error:
            raise ValueError(
                f"{lacking}, and cannot be downloaded ({reason(error)}): put its files there"
            ) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return dataset(str(root), **arguments)


def _move_into(source: Path, target: Path) -> None:
    for path in sorted(source.iterdir()):
        into = target / path.name
        if path.is_dir() and into.is_dir():
            _move_into(path, into)
        else:
            os.replace(path, into)


def _first(dataset: Any, attributes: tuple[str, ...]) -> Any:
    """The first of these attributes that the set has, or None."""
    found = (getattr(dataset, attribute, None) for attribute in attributes)
    return next((value for value in found if value is not None), None)


def _labels(dataset: Any) -> Tensor:
    if (labels := _first(dataset, _LABELS)) is None:
        samples = _first(dataset, _SAMPLES)
        items = (dataset[n] for n in range(len(dataset))) if samples is None else samples
        labels = [int(label) for _, label in items]
    return torch.as_tensor(np.asarray(labels), dtype=torch.int64)


def _path(dataset: Any, number: int) -> Path | None:
    """An image's file, if it has one."""
    if (paths := _first(dataset, _PATHS)) is None:
        return None
    path = paths[number]
    return Path(path[0] if isinstance(path, tuple) else path)


def _content(dataset: Any, number: int) -> bytes:
    """What an image is made of: its file where it has one, its pixels where it has none."""
    if (pixels := getattr(dataset, "data", None)) is not None:
        return np.ascontiguousarray(pixels[number]).tobytes()
    if (path := _path(dataset, number)) is not None:
        return path.read_bytes()
    return dataset[number][0].convert("RGB").tobytes()


def _own_names(name: str, dataset: Any) -> list[str]:
    """torchvision's names with blanks; where it lists synonyms, as for ImageNet, the first."""
    names = getattr(dataset, "classes", None) or getattr(dataset, "categories", None)
    if not names:
        raise ValueError(f"{name}: torchvision finds no class names beside its images")
    firsts = [one if isinstance(one, str) else one[0] for one in names]
    return [first.replace("_", " ") for first in firsts]


def _chosen(label_N: Tensor, per_class: int) -> Tensor:
    """Choose `per_class` images of each class by a hash of their number: bool, (N,)."""
    chosen_N = torch.zeros(len(label_N), dtype=torch.bool)
    for label in label_N.unique().tolist():
        members_M = (label_N == label).nonzero().flatten()
        # Numbered inside the class, so that an image added to another class changes nothing here.
        numbers = sorted(
            range(len(members_M)), key=lambda n: hashlib.sha256(f"{label}/{n}".encode()).digest()
        )
        chosen_N[members_M[numbers[:per_class]]] = True
    return chosen_N
