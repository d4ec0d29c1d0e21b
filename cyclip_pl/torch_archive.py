"""Zip archives of tensors: those of `torch.save` since torch 1.6, and those of TorchScript.

Of TorchScript, such as OpenAI's own `ViT-B-32.pt`, only the parameters are read. Its code is not.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO, cast
from zipfile import ZIP_STORED, ZipFile, ZipInfo

import torch
from torch import Tensor, UntypedStorage

from cyclip_pl import tensor_pickle
from cyclip_pl.tensor_pickle import Module, Refused

_LOCAL_HEADER = 30  # bytes, before its name and its extra field
_ALIGNED = 16  # bytes of the widest type
_MOST_ATTRIBUTES, _LONGEST_NAME = 100_000, 1000


def read(file: Path | BinaryIO, mmap: bool) -> Any:
    """Read an archive: tensors and plain containers, or `{"state_dict": …}` of TorchScript.

    Args:
        mmap: Read the tensors of a path when they are first used, from the file as it is then.

    Raises:
        Refused: It is not such an archive, or claims more than it holds.
        zipfile.BadZipFile, OSError: It is not an archive, or cannot be read.
    """
    opened = cast(
        AbstractContextManager[BinaryIO],
        file.open("rb") if isinstance(file, Path) else nullcontext(file),
    )
    with opened as source, ZipFile(source) as archive:
        records = _Records(source, archive, file if mmap and isinstance(file, Path) else None)
        pickle = archive.read(records.find("data.pkl", tensor_pickle.MOST_BYTES))
        content = tensor_pickle.read(pickle, records.storage, records.length)
    return {"state_dict": _parameters(content)} if isinstance(content, Module) else content


class _Records:
    """The records of an archive, by their names without the archive's own."""

    def __init__(self, source: BinaryIO, archive: ZipFile, path: Path | None) -> None:
        self.source = source
        self.length = source.seek(0, 2)
        self.records = {record.filename: record for record in archive.infolist()}
        roots = [name for name in self.records if name.endswith("/data.pkl")]
        if len(roots) != 1:
            raise Refused("not a file of torch.save")
        self.root = roots[0].removesuffix("data.pkl")
        if f"{self.root}byteorder" in self.records:
            order = archive.read(self.find("byteorder", 16)).decode("ascii", "replace")
            if order != sys.byteorder:
                raise Refused(f"its numbers are {order!a}-endian, this machine's are not")
        self.mapped = None
        if path is not None:
            self.mapped = UntypedStorage.from_file(str(path), False, self.length)
        self.found: dict[str, UntypedStorage] = {}

    def find(self, name: str, most: int) -> ZipInfo:
        record = self.records.get(f"{self.root}{name}")
        if record is None:
            raise Refused(f"its record {name[:40]!a} is missing")
        if record.compress_type != ZIP_STORED or record.file_size > most:
            raise Refused(f"its record {name} is compressed or too long")
        return record

    def storage(self, key: str, values: int, width: int) -> UntypedStorage:
        """A record that holds that much: mapped, or read once."""
        record, size = self.find(f"data/{key}", self.length), values * width
        if size > record.file_size:
            raise Refused(f"claims {size:,} bytes, more than its record {key[:40]!a} holds")
        if key not in self.found:
            self.found[key] = self._storage(record)
        return self.found[key]

    def _storage(self, record: ZipInfo) -> UntypedStorage:
        self.source.seek(record.header_offset)
        header = self.source.read(_LOCAL_HEADER)
        lengths = (int.from_bytes(header[at : at + 2], "little") for at in (26, 28))
        start = record.header_offset + _LOCAL_HEADER + sum(lengths)
        end = start + record.file_size
        if end > self.length:
            raise Refused("cut short")
        if self.mapped is not None and start % _ALIGNED == 0:
            return self.mapped[start:end]
        self.source.seek(start)
        return filled(self.source, UntypedStorage(record.file_size))


def filled(source: BinaryIO, memory: UntypedStorage) -> UntypedStorage:
    """Read the next bytes of a file into a storage, which must be there."""
    if size := memory.nbytes():
        bytes_ = torch.empty(0, dtype=torch.uint8).set_(memory, 0, (size,), (1,))
        if source.readinto(bytes_.numpy()) != size:  # type: ignore[attr-defined]
            raise Refused("cut short")
    return memory


def _parameters(module: Module) -> dict[str, Tensor]:
    """All tensors of a module and of those in it, named as in a state_dict."""
    found: dict[str, Tensor] = {}
    left, steps = [("", module)], 0
    while left:
        prefix, node = left.pop()
        for name, value in node.attributes.items():
            steps += 1
            full = f"{prefix}{name}"
            if steps > _MOST_ATTRIBUTES or len(full) > _LONGEST_NAME:
                raise Refused("its modules are nested too deeply")
            if isinstance(value, Module):
                left.append((f"{full}.", value))
            elif isinstance(value, Tensor):
                found[full] = value
    return found
