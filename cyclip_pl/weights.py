"""Files of weights from strangers: what may be read of them, and how much.

No format is read with code in it: pickles are read as data, and safetensors holds none. The memory
is bounded by the length of the file, checksums are compared, and each refusal is one line.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import BadZipFile

from torch import Tensor

from cyclip_pl import old_torch_file, torch_archive
from cyclip_pl.files import reason
from cyclip_pl.tensor_pickle import Refused
from cyclip_pl.whole import damage

_MOST_HEADER = 100_000_000  # bytes of a header, as in the safetensors library


class Damaged(ValueError):
    """A file that was whole once, as its checksums say."""


def read_state(named: str, path: Path) -> dict[str, Tensor]:
    """Read the weights in a file of safetensors (by its name), of `torch.save` or of TorchScript.

    They are all that it holds, its `state_dict`, or the `model` of a sharded checkpoint that torch
    put together. `module.` of several GPUs is cut off the names.

    Raises:
        ValueError: Not such a file, or it would take more memory than its length; one line that
            begins with `named`.
    """
    try:
        is_safe = path.suffix == ".safetensors"
        content = _read_safetensors(named, path) if is_safe else read(named, path)
    except OSError as error:
        raise ValueError(f"{named}: cannot be read: {error.strerror or reason(error)}") from error
    state = content
    if isinstance(content, dict):
        state = content.get("state_dict", content.get("model", content))
    if not isinstance(state, dict) or not state:
        raise ValueError(f"{named}: has no state_dict of tensors")
    for name, weight in state.items():
        if not (isinstance(name, str) and isinstance(weight, Tensor)):
            raise ValueError(f"{named}: its {ascii(name)[:60]} is not a named tensor")
    prefix = "module." if next(iter(state)).startswith("module.") else ""
    return {name.removeprefix(prefix): weight for name, weight in state.items()}


def read(named: str, file: Path | BinaryIO, mmap: bool = True) -> Any:
    """Read a file of `torch.save`: tensors and plain containers.

    The format before torch 1.6 has no checksums. Of TorchScript it is `{"state_dict": …}`.

    Args:
        mmap: Read the tensors of a path when they are first used, from the file as it is then.

    Raises:
        Damaged: Its checksums differ, or it is cut short; one line that begins with `named`.
        ValueError: Not such a file, or it would take more memory than its length; likewise.
    """
    start = _start(file)
    if (other := _other_kind(start)) is not None:
        raise ValueError(f"{named}: cannot be read as a checkpoint: {other}")
    old = start.startswith(old_torch_file.START)
    if not old and (problem := damage(file)) is not None:
        raise Damaged(f"{named}: damaged: {problem}")
    try:
        if not old:
            return torch_archive.read(file, mmap)
        if not isinstance(file, Path):
            return old_torch_file.read(file)
        with file.open("rb") as opened:
            return old_torch_file.read(opened)
    except (Refused, BadZipFile) as error:
        raise ValueError(f"{named}: cannot be read as a checkpoint: {reason(error)}") from error


def check_finite(named: str, weights: Mapping[str, Tensor], step: int | None = None) -> None:
    """Raise ValueError, one line that names the first tensor that holds NaN or infinity."""
    for name, weight in weights.items():
        if not _is_finite(weight):
            when = "" if step is None else f" (saved at step {step})"
            raise ValueError(
                f"{named}: its weights are not finite, {name} first{when}: the training diverged;"
                " take an earlier checkpoint"
            )


def _is_finite(weight: Tensor) -> bool:
    if weight.is_floating_point() and weight.numel():
        # NaN is both extremes. One pass and no copies, unlike `isfinite` of all.
        return all(extreme.isfinite() for extreme in weight.aminmax())
    return bool(weight.isfinite().all())


def _start(file: Path | BinaryIO) -> bytes:
    if isinstance(file, Path):
        with file.open("rb") as opened:
            return opened.read(1024)
    file.seek(0, os.SEEK_SET)
    return file.read(1024)


def _other_kind(start: bytes) -> str | None:
    """What a file that begins like this is, if it is certainly not of `torch.save`."""
    if start[8:9] == b"{":
        return "a safetensors file; its name must end in .safetensors"
    if start.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS; fetch the file itself with `git lfs pull`"
    if start.startswith(b"\x80") and not start.startswith(old_torch_file.START):
        return "a bare pickle, which can hold code; save its state_dict with torch.save"
    return None


def _read_safetensors(named: str, path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    length = path.stat().st_size
    with path.open("rb") as file:
        header = int.from_bytes(file.read(8), "little")
        if length < 8 or not file.read(1) == b"{":
            raise ValueError(f"{named}: not a safetensors file")
        if header > min(length - 8, _MOST_HEADER):
            raise ValueError(
                f"{named}: cut short or damaged: its header claims {header:,} bytes, the file has"
                f" {length:,}"
            )
    try:
        return load_file(path)
    except Exception as error:  # SafetensorError, and what its binding raises
        raise ValueError(
            f"{named}: cut short or damaged: its header does not fit the file"
        ) from error
