"""The records of wandb's offline file, whose format is LevelDB's log."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

_BLOCK, _HEADER = 1 << 15, 7
_FULL, _LAST = 1, 4


def records(path: Path) -> Iterator[bytes]:
    """Each record whole; a block's last bytes, too few for a header, are skipped."""
    data = path.read_bytes()
    assert data[:4] == b":W&B"
    place, parts = _HEADER, b""
    while place + _HEADER <= len(data):
        if _BLOCK - place % _BLOCK < _HEADER:
            place += _BLOCK - place % _BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + _HEADER])
        place += _HEADER
        parts += data[place : place + length]
        place += length
        if kind in (_FULL, _LAST):
            yield parts
            parts = b""
