"""Checkpoints in a folder, where each rank writes the rows that it holds (`shards.py` reads them).

The files are those of `torch.distributed.checkpoint`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.tensor import DTensor

from cyclip_pl import sharding
from cyclip_pl.checkpoints.io import (
    cannot_write,
    check_finite,
    check_room,
    learned,
    os_error,
    size_of,
)
from cyclip_pl.checkpoints.places import LocalFolder, split
from cyclip_pl.checkpoints.shards import MAIN, crc32
from cyclip_pl.distributed import objects_of_all, rank

_T = TypeVar("_T")
_Divided = dict[tuple[Any, ...], DTensor]


def save(checkpoint: dict[str, Any], path: str | Path, keep: str | None = None) -> None:
    """Write a checkpoint whole or not at all; all ranks call it, and see one file system.

    Args:
        keep: A name beside `path`, which the checkpoint that stands there gets; None to remove it.
            Of the first rank.

    Raises:
        ValueError: On all ranks: a number is not finite on one of them.
        OSError: On all ranks: one of them could not write; names the folder, what it needs and what
            is left.
    """
    place, name = split(path)
    assert isinstance(place, LocalFolder), "callbacks.last refuses URLs"
    divided: _Divided = {}

    def take(at: tuple[Any, ...], x: DTensor) -> Any:
        if not sharding.is_by_rows(x):
            return sharding.gathered(x).cpu()
        divided[at] = x
        return None

    rest = sharding.replaced(checkpoint, take)
    own = {".".join(map(str, at)): x.to_local() for at, x in divided.items()}
    step = checkpoint.get("global_step")
    _on_all(lambda: check_finite([*own.items(), *learned(rest)], path, step))
    needed = sum(x.numel() * x.element_size() for x in divided.values()) + size_of(rest)
    partial = place.hidden(name)
    try:
        _on_first(lambda: _begin(place, name, needed))
        written = _write_rows(divided, partial)
        sizes = _on_all(lambda: _sizes(partial))
        files = {name: size for of_rank in sizes for name, size in of_rank.items()}
        main = {"checkpoint": rest, "files": files, "tensors": written}
        _on_first(lambda: _finish(main, place, name, keep))
    except OSError as error:
        _on_all(lambda: shutil.rmtree(partial, ignore_errors=True))
        raise cannot_write(path, needed, error) from error


def _begin(place: LocalFolder, name: str, needed: int) -> None:
    check_room(place, needed)
    place.begin(name)


def _write_rows(divided: _Divided, partial: Path) -> list[dict[str, Any]]:
    """Write each rank's rows; where all of them lie."""
    named = {".".join(map(str, at)): x for at, x in divided.items()}
    try:
        metadata = dcp.save(named, storage_writer=_Writer(partial))
    except dcp.CheckpointException as error:
        cause, _ = next(iter(error.failures.values()))
        raise cause from error
    parts: dict[str, dict[int, tuple[Any, ...]]] = {name: {} for name in named}
    for index, stored in metadata.storage_data.items():
        start = index.offset[0]
        parts[index.fqn][start] = (stored.relative_path, stored.offset, stored.length)
    found = []
    for at, x in divided.items():
        name = ".".join(map(str, at))
        # A rank without rows has written an empty part.
        chunks = metadata.state_dict_metadata[name].chunks
        rows = {c.offsets[0]: c.sizes[0] for c in chunks if c.sizes[0]}
        lie = [(start, start + rows[start], *parts[name][start]) for start in sorted(rows)]
        found.append({"at": at, "shape": tuple(x.shape), "dtype": x.dtype, "parts": lie})
    return found


class _Writer(dcp.FileSystemWriter):
    """Raises what the disk said: torch hides it under an error of its own."""

    def write_data(self, *args: Any) -> Any:
        try:
            return super().write_data(*args)
        except Exception as error:
            raise os_error(error) or error from error


def _sizes(partial: Path) -> dict[str, tuple[int, int]]:
    """Size and checksum of each file that this rank has written."""
    paths = sorted(partial.glob(f"__{rank()}_*.distcp"))
    return {path.name: (path.stat().st_size, crc32(path)) for path in paths}


def _finish(main: dict[str, Any], place: LocalFolder, name: str, keep: str | None) -> None:
    partial = place.hidden(name)
    if missing := [file for file in main["files"] if not (partial / file).is_file()]:
        raise OSError(f"the ranks do not see the same folder ({missing[0]} is not there)")
    with (partial / MAIN).open("wb") as file:
        torch.save(main, file)
        file.flush()
        os.fsync(file.fileno())
    place.finish(name, keep)


def _on_first(work: Callable[[], None]) -> None:
    _on_all(lambda: work() if rank() == 0 else None)


def _on_all(work: Callable[[], _T]) -> list[_T]:
    """What each rank's work gave, in rank order; if one failed, its error on all ranks."""
    mine: tuple[Any, Exception | None]
    try:
        mine = work(), None
    except (OSError, ValueError) as error:
        mine = None, error
    except Exception as error:
        if (cause := os_error(error)) is None:
            raise
        mine = None, cause
    found = objects_of_all(mine)
    for _, failed in found:
        if failed is not None:
            raise failed
    return [result for result, _ in found]
