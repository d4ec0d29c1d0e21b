"""Zero-shot classification sets in the WebDataset layout of `clip_benchmark`.

    <folder>/classnames.txt                            a class a line; line 0 is class 0
    <folder>/zeroshot_classification_templates.txt     a prompt a line, with {c} for the class
    <folder>/<split>/nshards.txt                       a number
    <folder>/<split>/{0..nshards-1}.tar                <key>.(webp|png|jpg|jpeg) and <key>.cls

Sets come from strangers: text is only ever text, and only the raster formats named here are
decoded.
"""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from cyclip_pl.evaluation.tar_index import Member, Sample, samples

IMAGE_SUFFIXES = ("webp", "png", "jpg", "jpeg")  # the first that a sample has is its image
CLASSNAMES = "classnames.txt"
TEMPLATES = "zeroshot_classification_templates.txt"

# Without this list Pillow would hand a disguised EPS to Ghostscript.
_FORMATS = ("WEBP", "PNG", "JPEG", "GIF", "BMP")
_NO_IMAGE = (-1, 0)
_LABEL_BYTES = 32


class Undecodable(Exception):
    """A sample without an image, or whose image cannot be decoded."""


class ClassificationSet:
    """Labelled images and the names of their classes; any image can be read alone.

    Opening reads every label and where every image lies, and no image.

    Args:
        folder: The set's folder.
        split: The folder of its shards, inside it.
        name: What figures call it; the folder's name if None.

    Attributes:
        folder: Where it is.
        name: What figures call it.
        classnames: K names.
        templates: Its own prompts with `{c}`, or None where it has no file of them.
        label_N: int64, (N,), the class of each sample, on the CPU.

    Raises:
        ValueError: One line that names the file at fault.
    """

    def __init__(self, folder: str | Path, split: str = "test", name: str | None = None) -> None:
        self.folder = folder = Path(folder)
        self.name = name or folder.name
        _check_folder(folder, split)
        self.classnames = _read_classnames(folder / CLASSNAMES)
        templates = folder / TEMPLATES
        self.templates = _read_templates(templates) if templates.is_file() else None

        self._shards = _shards(folder / split)
        self._stamps: list[tuple[int, int]] = []
        self._keys: list[str] = []
        places: list[tuple[int, int, int]] = []
        labels: list[int] = []
        for number, shard in enumerate(self._shards):
            with open(shard, "rb") as file:
                self._stamps.append(_stamp(file))
                for sample in samples(shard):
                    image = _image_member(sample)
                    if image is None and "cls" not in sample.members:
                        continue
                    labels.append(_label(file, sample, shard, len(self.classnames)))
                    self._keys.append(sample.key)
                    places.append((number, *((image.offset, image.size) if image else _NO_IMAGE)))
        if not labels:
            raise ValueError(
                f"{folder / split} holds no samples: <key>.cls, <key>.{'|'.join(IMAGE_SUFFIXES)}"
            )
        self._places = np.array(places, dtype=np.int64)
        self.label_N: Tensor = torch.tensor(labels, dtype=torch.int64)

    def __len__(self) -> int:
        return len(self._keys)

    def where(self, index: int) -> str:
        """The shard and the key of a sample, for messages."""
        return f"{self._shards[self._places[index, 0]]}, sample {self._keys[index]}"

    def image(self, index: int) -> Image.Image:
        """The sample's image, RGB.

        Raises:
            Undecodable: It has none, or its bytes are no image.
            ValueError: The shard was written anew since the set was opened.
        """
        shard, offset, size = self._places[index].tolist()
        if offset < 0:
            raise Undecodable("no image")
        with open(self._shards[shard], "rb") as file:
            if _stamp(file) != self._stamps[shard]:
                # Its places and labels are those of other images by now.
                raise ValueError(f"{self._shards[shard]} has changed since it was opened")
            file.seek(offset)
            data = file.read(size)
        try:
            with Image.open(BytesIO(data), formats=_FORMATS) as image:
                return image.convert("RGB")
        except UnidentifiedImageError as error:
            raise Undecodable(f"not one of {', '.join(_FORMATS)}") from error
        except Exception as error:  # damaged bytes raise almost anything in the decoders
            raise Undecodable(str(error) or type(error).__name__) from error


def _check_folder(folder: Path, split: str) -> None:
    if not folder.is_dir():
        near = folder.parent
        if not near.is_dir():
            raise ValueError(f"no classification set at {folder}: there is no folder {near}")
        found = sorted(path.parent.name for path in near.glob(f"*/{CLASSNAMES}"))
        raise ValueError(
            f"no classification set at {folder}; sets in {near}: {', '.join(found) or 'none'}"
        )
    if not (folder / split).is_dir():
        found = sorted(path.parent.name for path in folder.glob("*/nshards.txt"))
        raise ValueError(f"{folder} has no split {split!r}; it has: {', '.join(found) or 'none'}")
    kind = folder / "dataset_type.txt"
    if kind.is_file() and (text := " ".join(_lines(kind)).strip().lower()) != "classification":
        raise ValueError(f"{kind} says {text!r}: this is no classification set")


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise ValueError(f"{path} is missing")
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text: {error}") from error


def _read_classnames(path: Path) -> list[str]:
    names = _lines(path)
    while names and not names[-1]:
        names.pop()
    if not names:
        raise ValueError(f"{path} is empty: it names a class a line")
    if "" in names:
        raise ValueError(f"{path}, line {names.index('') + 1}, is empty: it names a class a line")
    return names


def _read_templates(path: Path) -> list[str]:
    templates = [line for line in _lines(path) if line]
    if not templates:
        raise ValueError(f"{path} is empty: it holds a prompt a line, with {{c}} for the class")
    for template in templates:
        if "{c}" not in template:
            raise ValueError(f"{path}: no {{c}} in the template {template!r}")
    return templates


def _shards(split: Path) -> list[Path]:
    path = split / "nshards.txt"
    text = " ".join(_lines(path))
    if not text.isascii() or not text.isdigit():
        raise ValueError(f"{path} must hold the number of shards, it holds {text[:40]!r}")
    shards: list[Path] = []
    for number in range(int(text)):
        shard = split / f"{number}.tar"
        if not shard.is_file():
            raise ValueError(f"{shard} is missing: {path} says {text} shards")
        shards.append(shard)
    return shards


def _stamp(file: BinaryIO) -> tuple[int, int]:
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns


def _image_member(sample: Sample) -> Member | None:
    return next((sample.members[s] for s in IMAGE_SUFFIXES if s in sample.members), None)


def _label(file: BinaryIO, sample: Sample, shard: Path, classes: int) -> int:
    member = sample.members.get("cls")
    if member is None:
        raise ValueError(f"{shard}: sample {sample.key} has an image and no .cls")
    file.seek(member.offset)
    text = file.read(min(member.size, _LABEL_BYTES)).strip()
    # A leading minus is let through to be reported as out of range.
    if not text.removeprefix(b"-").isdigit():
        raise ValueError(f"{shard}: {sample.key}.cls must hold a class number, it holds {text!r}")
    label = int(text)
    if not 0 <= label < classes:
        raise ValueError(
            f"{shard}: {sample.key}.cls says class {label}; {CLASSNAMES} has 0 to {classes - 1}"
        )
    return label
