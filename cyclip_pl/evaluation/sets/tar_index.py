"""The places of the samples in a tar shard, so that any image can be read alone.

A shard is read once, header by header, without its images, by the reader that training uses.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cyclip_pl import tar_samples
from cyclip_pl.tar_members import BrokenTar, members
from cyclip_pl.tar_samples import TarSample


def samples(shard: Path) -> Iterator[TarSample]:
    """The samples of an uncompressed tar, in its order, without links and sparse files.

    Raises:
        ValueError: The shard is missing, not a tar, damaged or cut short, or repeats a member.
    """
    if not shard.is_file():
        raise ValueError(f"{shard} is missing")
    read, key = 0, None
    with open(shard, "rb") as file:
        try:
            for sample in tar_samples.samples(m for m in members(file) if not m.lacks):
                if sample.key == key:
                    name = next(iter(sample.members.values())).name
                    raise ValueError(f"{shard} is not a readable tar: it holds {name} twice")
                yield sample
                read, key = read + (not sample.partial), sample.key
        except BrokenTar as error:
            raise ValueError(f"{shard} is not a readable tar: {error.after(read)}") from error
