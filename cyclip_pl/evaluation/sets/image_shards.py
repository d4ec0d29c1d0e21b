"""Sets in clip_benchmark's layout, see `layout`: images in tar shards, a text beside each.

A sample is `<key>.<extension of an image>` and `<key>.<suffix of its text>`. Sets come from
strangers: text stays text, and `images` alone decodes images.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from cyclip_pl.evaluation.sets.interface import NoSplit, Unusable, content_hash
from cyclip_pl.evaluation.sets.tar_index import samples
from cyclip_pl.evaluation.sets.texts import read_text, text_lines
from cyclip_pl.images import EXTENSIONS, Undecodable, open_image
from cyclip_pl.layout import CLASSNAMES, DATASET_TYPE, NSHARDS
from cyclip_pl.tar_members import Member

# The first that a sample has is its image, as in clip_benchmark.
IMAGE_SUFFIXES = tuple(dict.fromkeys(("webp", "png", *EXTENSIONS)))

_NO_IMAGE = Member("", -1, 0)


class ImageShards:
    """The images of one split; any of them can be read alone.

    Opening reads every text and the place of every image, but no image.

    Args:
        folder: The set's folder.
        split: The folder of its shards, inside `folder`.
        name: The first part of its metrics' keys; the folder's name if None.

    Raises:
        Unusable: It has no such split, or is of another kind.
        ValueError: One line that names the file at fault.
    """

    kind: str  # what `dataset_type.txt` calls such a set
    suffix: str  # of its texts
    text_bytes: int  # longer texts are cut

    def __init__(self, folder: str | Path, split: str = "test", name: str | None = None) -> None:
        self.folder = Path(folder)
        self.name = name or self.folder.name
        self._split = self.folder / split
        _check_folder(self.folder, split, self.kind)
        self._beside: Any = None  # what else defines the set, in plain containers
        self._shards: list[Path] = []
        self._stamps: list[tuple[int, int]] = []
        self._keys: list[str] = []

    def _index(self) -> Iterator[tuple[str, bytes]]:
        """Note where every sample's image lies; yield the place and the text of each sample."""
        self._shards = shard_files(self._split)
        places: list[tuple[int, int, int]] = []
        for number, shard in enumerate(self._shards):
            with open(shard, "rb") as file:
                self._stamps.append(_stamp(file))
                for key, members, _ in samples(shard):
                    image = next((members[s] for s in IMAGE_SUFFIXES if s in members), _NO_IMAGE)
                    if (text := members.get(self.suffix)) is not None:
                        self._keys.append(key)
                        places.append((number, image.offset, image.size))
                        file.seek(text.offset)
                        content = file.read(min(text.size, self.text_bytes))
                        yield f"{shard}: {key}.{self.suffix}", content
                    elif image is not _NO_IMAGE:
                        raise ValueError(
                            f"{shard}: sample {key} has an image but no .{self.suffix}"
                        )
        if not places:
            raise ValueError(
                f"{self._split} holds no samples: <key>.{self.suffix}, "
                f"<key>.{'|'.join(IMAGE_SUFFIXES)}"
            )
        self._places = np.array(places, dtype=np.int64)  # shard, offset and size of each image

    def __len__(self) -> int:
        return len(self._keys)

    def key(self, index: int) -> str:
        return self._keys[index]

    def where(self, index: int) -> str:
        return f"{self._shards[self._places[index, 0]]}, sample {self._keys[index]}"

    def image(self, index: int) -> Image.Image:
        shard, offset, size = self._places[index].tolist()
        if offset < 0:
            raise Undecodable(f"no image (.{' .'.join(IMAGE_SUFFIXES)})")
        with self._open(shard) as file:
            file.seek(offset)
            return open_image(file.read(size))

    @cached_property
    def fingerprint(self) -> str:
        """Of every byte of the shards: a copy keeps times and sizes, and an edit can.

        Reading all bytes takes a small part of the time of decoding them.
        """
        sizes = [size for size, _ in self._stamps]
        return content_hash([type(self).__name__, self._beside, sizes], self._bytes())

    def _bytes(self) -> Iterator[bytes]:
        for number in range(len(self._shards)):
            with self._open(number) as file:
                while data := file.read(1 << 20):
                    yield data

    def _open(self, shard: int) -> BinaryIO:
        file = open(self._shards[shard], "rb")  # noqa: SIM115
        if _stamp(file) != self._stamps[shard]:
            file.close()
            # The known places and labels may belong to other images now.
            raise ValueError(f"{self._shards[shard]} has changed since it was opened")
        return file


def _check_folder(folder: Path, split: str, kind: str) -> None:
    """Refuse a folder that is not a set of this kind, and say what there is."""
    if not folder.is_dir():
        near = folder.parent
        own = folder.name.startswith("emoji_")
        make = "; `cyclip-prepare emoji` makes the emoji sets" if own else ""
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


def shard_files(split: Path) -> list[Path]:
    """The shards in a split's folder; ValueError if one is missing or `nshards.txt` is wrong."""
    counted = split / NSHARDS
    shards = [split / f"{number}.tar" for number in range(shard_count(counted))]
    for shard in shards:
        if not shard.is_file():
            raise ValueError(f"{shard} is missing: {counted} says {len(shards)} shards")
    return shards


def shard_count(path: Path) -> int:
    """The number in an `nshards.txt`; ValueError if it holds anything else."""
    text = read_text(path).strip()
    if not (text.isascii() and text.isdigit() and len(text) < 7):
        raise ValueError(f"{path} must hold the number of shards, it holds {text[:40]!r}")
    return int(text)


def _stamp(file: BinaryIO) -> tuple[int, int]:
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns
