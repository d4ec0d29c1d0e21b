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
from cyclip_pl.tar_members import Member, members


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
        for member in members(str(shard), strict=True):
            parts = key_and_extension(member.name)
            if parts is None or member.name.rpartition("/")[2].startswith("."):
                continue  # macOS adds ._NAME
            key, suffix = parts[0], parts[1].lower()
            if key != sample.key:
                if sample.members:
                    yield sample
                sample = Sample(key, {})
            if suffix in sample.members:
                raise tarfile.ReadError(f"it holds {member.name} twice")
            sample.members[suffix] = member
    except (tarfile.TarError, EOFError, OverflowError) as error:
        raise ValueError(f"{shard} is not a readable tar: {error}") from error
    if sample.members:
        yield sample
