"""A folder of images with `labels.csv`, as CyCLIP's code keeps its data sets.

    <folder>/<split>/labels.csv       columns image (a path inside <split>/) and label
    <folder>/<split>/classes.py       or classes.json, or one of them in <folder>
    <folder>/<split>/hierarchy.json   superclasses; may be missing, or be in <folder>

Sets come from strangers: the class file is never run, and no path leads out of the folder.
"""

from __future__ import annotations

import os
import re
from functools import cached_property
from itertools import islice
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from cyclip_pl.evaluation.sets.classes_file import read_classes
from cyclip_pl.evaluation.sets.interface import NoSplit, content_hash
from cyclip_pl.evaluation.sets.texts import read_text
from cyclip_pl.files import reason
from cyclip_pl.images import Undecodable, open_image
from cyclip_pl.layout import HIERARCHY
from cyclip_pl.tables import find_quoting, read_header, read_table

LABELS = "labels.csv"
CLASSES = ("classes.py", "classes.json")


class LabelsCSV:
    """A `LabelledSet`: the images and labels that a `labels.csv` lists.

    Opening reads the labels and finds every image, but decodes none. Arguments as of `ImageShards`;
    if the set has one split, the split's own folder serves as well.

    Raises:
        NoSplit: The folder has no such split.
        ValueError: One line that names the file at fault, and the line in it.
    """

    metric = "acc1"

    def __init__(self, folder: str | Path, split: str = "test", name: str | None = None) -> None:
        folder = Path(folder)
        self.folder = _split_folder(folder, split)
        self.name = name or folder.name
        file = _first_file(self.folder, folder, CLASSES)
        if file is None:
            raise ValueError(f"{self.folder} has a {LABELS}, but neither {' nor '.join(CLASSES)}")
        classes = read_classes(file)
        self.classnames, self.templates = classes.classnames, classes.templates
        own = file if classes.superclasses else None
        self.hierarchy = _first_file(self.folder, folder, (HIERARCHY,)) or own
        self._images, labels = _read_labels(self.folder / LABELS, len(self.classnames))
        self.label_N: Tensor = torch.tensor(labels, dtype=torch.int64)

    def __len__(self) -> int:
        return len(self._images)

    def key(self, index: int) -> str:
        return self._images[index]

    def where(self, index: int) -> str:
        return str(self.folder / self._images[index])

    def image(self, index: int) -> Image.Image:
        try:
            data = (self.folder / self._images[index]).read_bytes()
        except OSError as error:
            raise Undecodable(reason(error)) from error
        return open_image(data)

    @cached_property
    def fingerprint(self) -> str:
        contents = ((self.folder / image).read_bytes() for image in self._images)
        return content_hash([self.classnames, self.label_N.tolist()], contents)


def is_labels_folder(folder: Path) -> bool:
    """Whether a folder has this layout."""
    return (folder / LABELS).is_file() or any(folder.glob(f"*/{LABELS}"))


def _split_folder(folder: Path, split: str) -> Path:
    if (folder / split / LABELS).is_file():
        return folder / split
    # The split's own folder, as CyCLIP's `--eval_test_data_dir` takes it.
    is_it = folder.name == split or (split == "test" and folder.name != "train")
    if is_it and (folder / LABELS).is_file():
        return folder
    found = sorted(path.parent.name for path in folder.glob(f"*/{LABELS}"))
    raise NoSplit(f"{folder} has no {split}/{LABELS}; its splits: {', '.join(found) or 'none'}")


def _first_file(split: Path, folder: Path, names: tuple[str, ...]) -> Path | None:
    paths = (where / name for where in (split, folder) for name in names)
    return next((path for path in paths if path.is_file()), None)


def _read_labels(path: Path, classes: int) -> tuple[list[str], list[int]]:
    images: list[str] = []
    labels: list[int] = []
    read_text(path)  # raises what is wrong with the file
    header = read_header(path, ",")
    if any(header.count(name) != 1 for name in ("image", "label")):
        raise ValueError(f"{path} must have the columns image and label")
    image, label = header.index("image"), header.index("label")

    def is_row(fields: list[str]) -> bool:
        return os.path.isfile(path.parent / fields[image])

    quoting, _ = find_quoting(path, ",", is_row)
    for row in islice(read_table(path, ",", quoting), 1, None):
        where = f"{path}, line {row.number}"
        if row.problem:
            raise ValueError(f"{where}: {row.problem}")
        images.append(_inside(row.fields[image], path.parent, where))
        labels.append(_label(row.fields[label].strip(), classes, where))
    if not images:
        raise ValueError(f"{path} lists no images")
    return images, labels


def _inside(image: str, folder: Path, where: str) -> str:
    parts = re.split(r"[/\\]", image)
    if ".." in parts or parts[0] == "" != image or re.match(r"[A-Za-z]:", image):
        raise ValueError(f"{where}: the path {image[:200]!r} leads out of the folder")
    if "\0" in image or not os.path.isfile(os.path.join(folder, image)):
        raise ValueError(f"{where}: there is no image {image[:200]!r} in {folder}")
    return image


def _label(text: str, classes: int, where: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ValueError(f"{where}: a label must be a class number, it is {text[:40]!r}")
    if int(text) >= classes:
        raise ValueError(f"{where}: the label {text} is not one of 0 to {classes - 1}")
    return int(text)
