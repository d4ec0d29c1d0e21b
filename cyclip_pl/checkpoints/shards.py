"""Checkpoints in a folder, where each rank has written the rows that it holds: how they are read.

`whole.pt` has all but the sharded tensors, says in which bytes of which file their rows lie,
and has each file's size and checksum. The files are those of torch's distributed checkpoints. Their
own list, `.metadata`, is a pickle that could hold code: it is there for others, and not read here.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Callable
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from types import EllipsisType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from cyclip_pl import weights, whole
from cyclip_pl.files import reason

MAIN = "whole.pt"
_FILE = re.compile(r"__\d{1,9}_\d{1,9}\.distcp")
_CHUNK = 1 << 20
_MOST = 2**48  # rows or bytes: beyond any disk


class Part(NamedTuple):
    """Rows `start` to `stop`, in `length` bytes of a file behind `offset`."""

    start: int
    stop: int
    file: str
    offset: int
    length: int


class Shards:
    """A tensor whose rows lie in several files; indexing reads them: `x[2:5]`, or `x[...]` for all.

    Args:
        parts: Of all its rows, in their order.
    """

    def __init__(
        self, folder: Path, name: str, shape: torch.Size, dtype: torch.dtype, parts: list[Part]
    ) -> None:
        self.folder = folder
        self.name = name
        self.shape = shape
        self.dtype = dtype
        self.parts = parts

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __getitem__(self, rows: slice | EllipsisType) -> Tensor:
        start, stop, _ = (slice(None) if rows is ... else rows).indices(self.shape[0])
        found = torch.empty((max(stop - start, 0), *self.shape[1:]), dtype=self.dtype)
        for part in self.parts:
            first, last = max(start, part.start), min(stop, part.stop)
            if first < last:
                there = self._read(part)[first - part.start : last - part.start]
                found[first - start : last - start] = there
        return found

    def _read(self, part: Part) -> Tensor:
        path = self.folder / part.file
        try:
            with path.open("rb") as file:
                file.seek(part.offset)
                content = BytesIO(file.read(part.length))
        except OSError as error:
            raise ValueError(
                f"{path}: cannot be read: {error.strerror or reason(error)}"
            ) from error
        x = weights.read(str(path), content)
        shape = (part.stop - part.start, *self.shape[1:])
        if not isinstance(x, Tensor) or (x.shape, x.dtype) != (shape, self.dtype):
            raise ValueError(f"{path}: damaged: {ascii(self.name)[:60]} is not as {MAIN} says")
        return x


# Where a tensor stands in a checkpoint, such as ("state_dict", "encoder.weight"), and its rows →
# what is put there.
Make = Callable[[tuple[Any, ...], Shards], Any]


def all_rows(at: tuple[Any, ...], x: Shards) -> Tensor:
    """The tensor, read now."""
    return x[...]


def shape_alone(at: tuple[Any, ...], x: Shards) -> Tensor:
    """A tensor without values, on torch's meta device."""
    return torch.empty(x.shape, dtype=x.dtype, device="meta")


def weights_alone(at: tuple[Any, ...], x: Shards) -> Tensor:
    """The tensor, without values if it is the optimiser's."""
    return shape_alone(at, x) if at[0] == "optimizer_states" else all_rows(at, x)


def is_sharded(path: Path | str) -> bool:
    """Whether there is such a folder at a path, whole or not; never behind a URL."""
    if not isinstance(path, Path):
        return False
    return (path / MAIN).is_file() or (path.is_dir() and any(path.glob("__*.distcp")))


def damage(folder: Path) -> str | None:
    """What is wrong with a folder, or None: the first file that is not as it was written."""
    if (problem := whole.damage(folder / MAIN)) is not None:
        return f"{MAIN}: {problem}"
    try:
        files = _read_main(folder)["files"]
    except ValueError:
        return None  # whole, but of another kind: `read` says so
    for name, (size, checksum) in files.items():
        try:
            status = (folder / name).stat()
            if status.st_size != size:
                return f"{name}: has {status.st_size:,} bytes in place of {size:,}"
            if _crc32_of(folder / name, status.st_ino, size, status.st_mtime_ns) != checksum:
                return f"{name}: its checksum differs"
        except OSError as error:
            return f"{name}: {error.strerror or reason(error)}"
    return None


def read(folder: Path, make: Make) -> dict[str, Any]:
    """Read a folder as the checkpoint that one file would hold.

    Args:
        make: What stands in the place of each sharded tensor.

    Raises:
        weights.Damaged: A file is not as it was written; one line that begins with the folder.
        ValueError: It would take more memory than its files have; likewise.
    """
    if (problem := damage(folder)) is not None:
        raise weights.Damaged(f"{folder}: damaged: {problem}")
    main = _read_main(folder)
    checkpoint = main["checkpoint"]
    try:
        found = [(entry["at"], _shards(folder, entry, main["files"])) for entry in main["tensors"]]
        claimed = sum(math.prod(x.shape) * x.dtype.itemsize for _, x in found)
        assert claimed <= sum(size for size, _ in main["files"].values())
        places = [_place(checkpoint, at) for at, _ in found]
    except (AssertionError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"{folder}: the list of tensors in {MAIN} is damaged") from error
    for (at, x), (node, key) in zip(found, places, strict=True):
        node[key] = make(at, x)
    return checkpoint


def _read_main(folder: Path) -> dict[str, Any]:
    path = folder / MAIN
    main = weights.read(str(path), path, mmap=False)
    try:
        known = {"checkpoint": dict, "files": dict, "tensors": list}
        assert all(type(main[part]) is kind for part, kind in known.items())
        for name, (size, checksum) in main["files"].items():
            assert _FILE.fullmatch(name) and type(size) is type(checksum) is int and size >= 0
    except (AssertionError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: not the {MAIN} of a sharded checkpoint") from error
    return main


def _shards(folder: Path, entry: Any, files: dict[str, tuple[int, int]]) -> Shards:
    shape, dtype = entry["shape"], entry["dtype"]
    assert shape and isinstance(dtype, torch.dtype)
    parts = [Part(*part) for part in entry["parts"]]
    numbers = [*shape, *(n for part in parts for n in (*part[:2], *part[3:]))]
    assert all(type(number) is int and 0 <= number < _MOST for number in numbers)
    row = 0
    for part in parts:
        size, _ = files[part.file]
        assert part.start == row < part.stop and part.offset + part.length <= size
        row = part.stop
    assert row == shape[0]
    name = ".".join(str(key) for key in entry["at"])
    return Shards(folder, name, torch.Size(shape), dtype, parts)


def _place(node: Any, at: Any) -> tuple[Any, Any]:
    """The container in which a tensor is missing, and its key there."""
    *outer, last = at
    for key in outer:
        node = node[key]
        assert isinstance(node, dict | list)
    assert node[last] is None
    return node, last


@lru_cache(maxsize=1024)
def _crc32_of(path: Path, *version: int) -> int:
    return crc32(path)


def crc32(path: Path) -> int:
    """The checksum of a file's bytes."""
    found = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            found = zlib.crc32(chunk, found)
    return found
