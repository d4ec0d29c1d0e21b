"""Tars with one fault, as downloads, disks and other programs leave them."""

from __future__ import annotations

import io
import random
import tarfile
from collections.abc import Iterable

BLOCK = 512


def tar(members: Iterable[tuple[str, bytes]], format: int = tarfile.USTAR_FORMAT) -> bytes:
    """A tar of these members, in their order."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def mutated(data: bytes, rng: random.Random) -> tuple[str, bytes]:
    """The same tar with one fault, and its description."""
    at = rng.randrange(len(data))
    block = at // BLOCK * BLOCK
    size = rng.choice([1, 100, BLOCK, 3 * BLOCK, 40 * BLOCK])
    noise = rng.randbytes(size)
    flipped = bytes([data[at] ^ 1 << rng.randrange(8)])
    return rng.choice(
        [
            (f"cut at {at}", data[:at]),
            (f"cut at block {block}", data[:block]),
            (f"a bit flipped at {at}", data[:at] + flipped + data[at + 1 :]),
            (f"{size} bytes of noise over {at}", data[:at] + noise + data[at + size :]),
            (f"{size} bytes of noise in at {at}", data[:at] + noise + data[at:]),
            # Not by whole blocks: headers and bodies of two samples then fit together, and a tar
            # has no checksum that would show it.
            (f"{size + 1} bytes out at {at}", data[:at] + data[at + size + 1 :]),
            (f"{size} zeros over {at}", data[:at] + bytes(size) + data[at + size :]),
            (f"zeros from {at} on", data[:at] + bytes(len(data) - at)),
            (f"{size} zeros in at block {block}", data[:block] + bytes(size) + data[block:]),
            (f"{size} bytes of noise at the end", data + noise),
        ]
    )
