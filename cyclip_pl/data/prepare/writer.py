"""Shards of a fixed number of samples, which a later process can go on writing."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

Sample = Mapping[str, bytes]
"""Members by extension: {"png": ..., "txt": ...}."""


def add_sample(tar: tarfile.TarFile, key: str, members: Sample) -> None:
    """Append the members of a sample, without times and users."""
    assert "." not in key, f"{key}: readers take the extension from the first dot"
    for extension, content in members.items():
        member = tarfile.TarInfo(f"{key}.{extension}")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))


class ShardWriter:
    """Fills tar after tar in one folder.

    Args:
        folder: The folder; made if it is missing. Tars of which `state` knows nothing are removed.
        shard_size: Samples per shard; the last one has the rest.
        name: A format for the number of a shard, `{:05d}.tar`.
        state: What `state()` said when an earlier process stopped.

    Attributes:
        sizes: Samples by the name of the shard.
    """

    def __init__(
        self, folder: Path, shard_size: int, name: str, state: Mapping[str, Any] | None = None
    ) -> None:
        self._folder, self._shard_size, self._name = folder, shard_size, name
        self.sizes: dict[str, int] = dict(state["sizes"]) if state else {}
        self._file: BinaryIO | None = None
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob("*.tar"):
            if path.name not in self.sizes:
                path.unlink()
        if state and state["bytes"] is not None:
            # A tar that goes on where it was cut has the bytes of one that never stopped.
            self._open(list(self.sizes)[-1], state["bytes"])

    def add(self, key: str, members: Sample) -> bool:
        """Append a sample; returns whether its shard is full."""
        if self._file is None:
            name = self._name.format(len(self.sizes))
            self.sizes[name] = 0
            self._open(name, 0)
        add_sample(self._tar, key, members)
        name = list(self.sizes)[-1]
        self.sizes[name] += 1
        if full := self.sizes[name] == self._shard_size:
            self.close()
        return full

    def state(self) -> dict[str, Any]:
        """What a later process needs to go on from here; all of it is on the disk then."""
        if self._file is not None:
            _sync(self._file)
        return {"sizes": self.sizes, "bytes": self._tar.offset if self._file else None}

    def close(self) -> None:
        """End the shard that is open."""
        if self._file is not None:
            self._tar.close()
            _sync(self._file)
            self.abandon()

    def abandon(self) -> None:
        """Let go of the shard that is open, as a crash would."""
        if self._file is not None:
            file, self._file = self._file, None
            file.close()

    def _open(self, name: str, offset: int) -> None:
        self._file = open(self._folder / name, "r+b" if offset else "wb")  # noqa: SIM115
        self._file.truncate(offset)
        self._file.seek(offset)
        self._tar = tarfile.TarFile(fileobj=self._file, mode="w", format=tarfile.USTAR_FORMAT)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
