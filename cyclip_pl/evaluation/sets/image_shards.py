"""Sets in clip_benchmark's layout, see `layout`: images in tar shards, a text beside each.

A sample is `<key>.<extension of an image>` and `<key>.<suffix of its text>`. Sets come from
strangers: text stays text, and `images` alone decodes images.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from cyclip_pl.evaluation.sets.interface import NoSplit, Unusable
from cyclip_pl.evaluation.sets.tar_index import Member, Sample, samples
from cyclip_pl.images import EXTENSIONS, Undecodable, open_image
from cyclip_pl.layout import CLASSNAMES, DATASET_TYPE, NSHARDS

# The first that a sample has is its image, as in clip_benchmark.
IMAGE_SUFFIXES = tuple(dict.fromkeys(("webp", "png", *EXTENSIONS)))

_NO_IMAGE = (-1, 0)


class ImageShards:
    """The images of one split; any of them can be read alone.

    Args:
        folder: The set's folder.
        split: The folder of its shards, inside `folder`.
        name: The first part of its metrics' keys; the folder's name if None.

    Attributes:
        folder: As given.
        name: As given, or the folder's name.
    """

    def __init__(self, folder: Path, split: str, name: str | None) -> None:
        self.folder = folder
        self.name = name or folder.name
        self._split = split
        self._shards: list[Path] = []
        self._stamps: list[tuple[int, int]] = []
        self._keys: list[str] = []
        self._places = np.zeros((0, 3), dtype=np.int64)

    def _index(self, suffix: str, at_most: int) -> Iterator[tuple[Path, str, bytes | None]]:
        """Note where every sample's image lies; yield shard, key and text of each sample.

        A sample has an image or a `<key>.<suffix>`. The text is cut at `at_most` bytes; it is None
        if the sample has none.

        Raises:
            ValueError: A file is wrong, or there is no sample; one line that names the file.
        """
        self._shards = shard_files(self.folder / self._split)
        places: list[tuple[int, int, int]] = []
        for number, shard in enumerate(self._shards):
            with open(shard, "rb") as file:
                self._stamps.append(_stamp(file))
                for sample in samples(shard):
                    image, text = _image_member(sample), sample.members.get(suffix)
                    if image is None and text is None:
                        continue
                    self._keys.append(sample.key)
                    places.append((number, *((image.offset, image.size) if image else _NO_IMAGE)))
                    yield shard, sample.key, None if text is None else _read(file, text, at_most)
        if not places:
            raise ValueError(
                f"{self.folder / self._split} holds no samples: <key>.{suffix}, "
                f"<key>.{'|'.join(IMAGE_SUFFIXES)}"
            )
        self._places = np.array(places, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._keys)

    def key(self, index: int) -> str:
        """A sample's name in its shard."""
        return self._keys[index]

    def where(self, index: int) -> str:
        """The shard and the key of a sample, for messages."""
        return f"{self._shards[self._places[index, 0]]}, sample {self._keys[index]}"

    def image(self, index: int) -> Image.Image:
        """The sample's image, in its own mode.

        Raises:
            Undecodable: It has none, or its bytes are not an image.
            ValueError: The shard has changed since the set was opened.
        """
        shard, offset, size = self._places[index].tolist()
        if offset < 0:
            raise Undecodable(f"no image (.{' .'.join(IMAGE_SUFFIXES)})")
        with self._open(shard) as file:
            file.seek(offset)
            data = file.read(size)
        return open_image(data)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of every byte of the shards and of the texts beside them.

        Times and sizes do not identify a content: a copy keeps them, and an edit can. Reading all
        bytes takes a small part of the time of decoding them.

        Raises:
            ValueError: A shard has changed since the set was opened.
        """
        digest = hashlib.sha256(json.dumps([type(self).__name__, self._beside()]).encode())
        for number in range(len(self._shards)):
            of_shard = hashlib.sha256()
            with self._open(number) as file:
                while data := file.read(1 << 20):
                    of_shard.update(data)
            digest.update(of_shard.digest())
        return digest.hexdigest()

    def _beside(self) -> Any:
        """What else defines the set, for the fingerprint; plain containers."""
        return None

    def _open(self, shard: int) -> BinaryIO:
        file = open(self._shards[shard], "rb")  # noqa: SIM115
        if _stamp(file) != self._stamps[shard]:
            file.close()
            # The known places and labels may belong to other images now.
            raise ValueError(f"{self._shards[shard]} has changed since it was opened")
        return file


def check_folder(folder: Path, split: str, kind: str) -> None:
    """Refuse a folder that is not a set of this kind, and say what there is.

    Args:
        kind: "classification" or "retrieval", as `dataset_type.txt` has it.

    Raises:
        Unusable: It has no such split, or is of another kind.
        ValueError: There is no set.
    """
    if not folder.is_dir():
        near = folder.parent
        own = folder.name.startswith("emoji_")
        make = "; `python -m cyclip_pl.data.prepare emoji` makes the emoji sets" if own else ""
        if not near.is_dir():
            raise ValueError(f"no {kind} set at {folder}: there is no folder {near}{make}")
        mark = CLASSNAMES if kind == "classification" else f"{split}/{NSHARDS}"
        found = sorted({path.relative_to(near).parts[0] for path in near.glob(f"*/{mark}")})
        there = ", ".join(found) or "none"
        raise ValueError(f"no {kind} set at {folder}; sets in {near}: {there}{make}")
    if (reason := _other_kind(folder, kind)) is not None:
        lacks = "classes" if kind == "classification" else "captions"
        raise Unusable(f"{folder} has no {lacks}: {reason}")
    if not (folder / split).is_dir():
        found = sorted(path.parent.name for path in folder.glob(f"*/{NSHARDS}"))
        raise NoSplit(f"{folder} has no split {split!r}; it has: {', '.join(found) or 'none'}")


def _other_kind(folder: Path, kind: str) -> str | None:
    """Why the set is not of this kind; None if it is."""
    path, named = folder / DATASET_TYPE, (folder / CLASSNAMES).is_file()
    if path.is_file():
        says = " ".join(text_lines(path)).strip().lower()
        return None if says == kind else f"{DATASET_TYPE} says {says!r}"
    if kind == "classification":
        return None if named else f"{CLASSNAMES} is missing"
    return f"it has {CLASSNAMES} and no {DATASET_TYPE}" if named else None


def text_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 file, stripped.

    Raises:
        ValueError: The file is missing or is not UTF-8.
    """
    if not path.is_file():
        raise ValueError(f"{path} is missing")
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text: {error}") from error


def shard_files(split: Path) -> list[Path]:
    """The shards in a split's folder, as many as its `nshards.txt` says.

    Raises:
        ValueError: The number is wrong, or a shard is missing.
    """
    counted = split / NSHARDS
    shards = [split / f"{number}.tar" for number in range(shard_count(counted))]
    for shard in shards:
        if not shard.is_file():
            raise ValueError(f"{shard} is missing: {counted} says {len(shards)} shards")
    return shards


def shard_count(path: Path) -> int:
    """The number in an `nshards.txt`; ValueError if it holds anything else."""
    text = " ".join(text_lines(path))
    if not (text.isascii() and text.isdigit() and len(text) < 7):
        raise ValueError(f"{path} must hold the number of shards, it holds {text[:40]!r}")
    return int(text)


def _stamp(file: BinaryIO) -> tuple[int, int]:
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns


def _image_member(sample: Sample) -> Member | None:
    return next((sample.members[s] for s in IMAGE_SUFFIXES if s in sample.members), None)


def _read(file: BinaryIO, member: Member, at_most: int) -> bytes:
    file.seek(member.offset)
    return file.read(min(member.size, at_most))
