"""Files of weights from strangers: what may be read of them, and how much.

torch refuses to unpickle what could run code, and safetensors holds no code. Here the memory is
bounded by the length of the file, and each refusal is one line.
"""

from __future__ import annotations

import os
import pickletools
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from cyclip_pl.files import reason

# What `torch.save` names for tensors and plain containers, beside storages and dtypes of torch.
_GLOBALS = {
    "collections OrderedDict",
    "torch Size",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_tensor_v3",
    "torch._utils _rebuild_parameter",
    "torch.storage UntypedStorage",
}
_MOST_HEADER = 100_000_000  # bytes of a pickle or a header, as in the safetensors library


class _Refused(ValueError):
    """The records of a file are not those of `torch.save`; the text is the whole line."""


def check_file(named: str, path: Path) -> None:
    """Raise ValueError, one line that begins with `named`, unless `path` is safe to load.

    It is a safetensors file, by its name, or a zip file of `torch.save` that `read` takes.
    """
    try:
        if path.suffix == ".safetensors":
            _check_safetensors(named, path)
        else:
            read(named, path)
    except OSError as error:
        raise ValueError(f"{named}: cannot be read: {error.strerror or reason(error)}") from error


def read(named: str, file: Path | BinaryIO, mmap: bool = True) -> Any:
    """Read a file of `torch.save`: tensors and plain containers.

    Args:
        mmap: Read the tensors of a path when they are first used, from the file as it is then.

    Raises:
        ValueError: Not such a file, or it would take more memory than its length; one line that
            begins with `named`.
    """
    length = file.stat().st_size if isinstance(file, Path) else file.seek(0, os.SEEK_END)
    try:
        with zipfile.ZipFile(file) as archive:
            _check_records(named, archive, length)
    except _Refused:
        raise
    except Exception as error:  # for damaged bytes zipfile raises many types, struct.error too
        kind = other_kind(file) or "cut short, damaged, or not a file of torch.save"
        raise ValueError(f"{named}: cannot be read as a checkpoint: {kind}") from error
    mmap = mmap and isinstance(file, Path)
    if not isinstance(file, Path):
        file.seek(0)
    try:
        content = torch.load(file, map_location="cpu", weights_only=True, mmap=mmap)
    except Exception as error:  # a broken pickle raises nearly anything
        raise ValueError(
            f"{named}: cannot be read as a checkpoint: damaged, or it holds more than tensors and"
            " plain values"
        ) from error
    values = 0
    for tensor in _tensors(content):
        if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
            raise ValueError(f"{named}: holds a tensor that is sparse, quantized or without values")
        values += tensor.numel()
    if values > length:
        raise ValueError(f"{named}: claims {values:,} values, more than the file can hold")
    return content


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


def _check_records(named: str, archive: zipfile.ZipFile, length: int) -> None:
    """torch inflates a deflated record, and reads one again for each entry that names it."""
    records = archive.infolist()
    names = {record.filename.lower().rpartition("/")[2] for record in records}
    if "constants.pkl" in names:
        raise _Refused(
            f"{named}: cannot be read as a checkpoint: a TorchScript archive, which holds code"
        )
    if any(record.compress_type != zipfile.ZIP_STORED for record in records):
        raise _Refused(f"{named}: cannot be read as a checkpoint: torch.save compresses nothing")
    if sum(record.file_size for record in records) > length:
        raise _Refused(f"{named}: cannot be read as a checkpoint: its records overlap")
    for record in records:
        if not record.filename.lower().endswith(".pkl"):
            continue
        if record.file_size > _MOST_HEADER:
            raise _Refused(f"{named}: cannot be read as a checkpoint: its pickle is too long")
        if (stranger := _foreign(archive.read(record))) is not None:
            raise _Refused(
                f"{named}: cannot be read as a checkpoint: holds {stranger}, only tensors and"
                " plain values are read; nothing in it was executed"
            )


def _foreign(pickle: bytes) -> str | None:
    """The first thing that a pickle names beside tensors and plain containers."""
    try:
        for opcode, argument, _ in pickletools.genops(pickle):
            if opcode.name in ("GLOBAL", "INST") and argument not in _GLOBALS:
                module, _, name = str(argument).partition(" ")
                known = getattr(torch, name, None) if module == "torch" else None
                if not (name.endswith("Storage") or isinstance(known, torch.dtype)) or not known:
                    return ascii(f"{module}.{name}"[:60])
            elif opcode.name == "STACK_GLOBAL":
                return "a pickle of another kind than torch.save's"
    except Exception:  # genops raises nearly anything for broken bytes
        return "a damaged pickle"
    return None


def other_kind(file: Path | BinaryIO) -> str | None:
    """What a file is that is certainly not of `torch.save`; None if it may be."""
    try:
        if isinstance(file, Path):
            with file.open("rb") as opened:
                start = opened.read(1024)
        else:
            file.seek(0)
            start = file.read(1024)
    except OSError as error:
        return error.strerror or "the disk failed"
    if start[8:9] == b"{":
        return (
            "a safetensors file; only encoder.pretrained and model.pretrained read those, under a"
            " name that ends in .safetensors"
        )
    if start.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS; fetch the file itself with `git lfs pull`"
    if start.startswith(b"\x80"):
        return "a bare pickle, or torch's format before 1.6; save it again with torch.save"
    return None


def _check_safetensors(named: str, path: Path) -> None:
    from safetensors import safe_open

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
        with safe_open(path, framework="pt"):
            pass
    except Exception as error:  # SafetensorError, and what its binding raises
        raise ValueError(
            f"{named}: cut short or damaged: its header does not fit the file"
        ) from error


def _tensors(content: Any) -> Iterator[Tensor]:
    """All tensors in nested containers, each container once."""
    left, seen = [content], set()
    while left:
        node = left.pop()
        if isinstance(node, Tensor):
            yield node
        elif isinstance(node, dict | list | tuple) and id(node) not in seen:
            seen.add(id(node))
            left.extend(node.values() if isinstance(node, dict) else node)
