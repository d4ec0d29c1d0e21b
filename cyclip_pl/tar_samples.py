"""Members of a tar → samples: which sample a member belongs to, and which part of it it is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from cyclip_pl.tar_members import BrokenTar, Member

_META = re.compile(r"__[^/]*__($|/)")


class TarSample(NamedTuple):
    """Members of one name, by what follows it in lower case (`png`, `cls`, …).

    Attributes:
        last: Whether the tar breaks behind it, so that it may lack members.
    """

    key: str
    members: dict[str, Member]
    last: bool = False

    @property
    def partial(self) -> bool:
        """Whether it surely lacks members: one alone is not a sample with a text."""
        return self.last and len(self.members) == 1


def samples(members: Iterable[Member]) -> Iterator[TarSample]:
    """Neighbours of one key are a sample; a member that the sample has already begins the next one.

    Raises:
        BrokenTar: As `members` raises it, after the samples up to there.
    """
    key, found = "", dict[str, Member]()
    try:
        for member in members:
            if (parts := key_and_extension(member.name)) is None:
                continue
            extension = parts[1].lower()
            if found and (parts[0] != key or extension in found):
                yield TarSample(key, found)
                found = {}
            key = parts[0]
            found[extension] = member
    except BrokenTar:
        if found:
            yield TarSample(key, found, last=True)
        raise
    if found:
        yield TarSample(key, found)


def key_and_extension(name: str) -> tuple[str, str] | None:
    """`a/b.seg.png` → `a/b`, `seg.png`; None for a member that belongs to no sample.

    As in WebDataset: the key ends at the first dot of the last part, and metadata (`__NAME__`) do
    not count. Neither do hidden files: macOS puts a `._NAME` beside each.
    """
    folder, slash, base = name.rpartition("/")
    stem, dot, extension = base.partition(".")
    if not stem or not dot or _META.match(name):
        return None
    return folder + slash + stem, extension
