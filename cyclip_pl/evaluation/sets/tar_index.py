"""The places of the samples in a tar shard, so that any image can be read alone.

A shard is read once, header by header, without its images. Grouping follows WebDataset: a sample
is a run of consecutive members whose names agree up to the first dot of the last part.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cyclip_pl.member_names import key_and_extension


class Member(NamedTuple):
    """A file inside a shard: `size` bytes from byte `offset`."""

    offset: int
    size: int


class Sample(NamedTuple):
    """A key and its members by lower-case suffix (`png`, `cls`, ...)."""

    key: str
    members: dict[str, Member]


def samples(shard: Path) -> Iterator[Sample]:
    """The samples of an uncompressed tar, in its order.

    Raises:
        ValueError: The shard is missing, not a tar, damaged or cut short, or repeats a member.
    """
    if not shard.is_file():
        raise ValueError(f"{shard} is missing")
    sample = Sample("", {})
    try:
        for name, member in _files(shard):
            parts = key_and_extension(name)
            if parts is None or name.rpartition("/")[2].startswith("."):  # macOS adds ._NAME
                continue
            key, suffix = parts[0], parts[1].lower()
            if key != sample.key:
                if sample.members:
                    yield sample
                sample = Sample(key, {})
            if suffix in sample.members:
                raise tarfile.ReadError(f"it holds {name} twice")
            sample.members[suffix] = member
    except (tarfile.TarError, EOFError, OverflowError) as error:
        raise ValueError(f"{shard} is not a readable tar: {error}") from error
    if sample.members:
        yield sample


def _files(shard: Path) -> Iterator[tuple[str, Member]]:
    with tarfile.open(shard, "r:") as tar:
        last = -1
        while (info := tar.next()) is not None:
            if info.offset <= last:  # a negative size: this would never end
                raise tarfile.ReadError(f"damaged at byte {last}")
            last = info.offset
            tar.members = []  # type: ignore[attr-defined]  # or it keeps every header
            if info.isreg() and not info.issparse():
                yield info.name, Member(info.offset_data, info.size)
        end = tar.offset
    # tarfile takes a damaged header for the end of the tar: the set would shrink unnoticed.
    with open(shard, "rb") as file:
        file.seek(end)
        mark = file.read(tarfile.BLOCKSIZE)
    if len(mark) < tarfile.BLOCKSIZE or any(mark):
        raise tarfile.ReadError(f"damaged or cut short at byte {end}")
