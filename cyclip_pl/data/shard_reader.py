"""Undecoded samples of one shard."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Generator, Mapping
from subprocess import TimeoutExpired
from typing import Any, NamedTuple

from webdataset.gopen import Pipe

from cyclip_pl.data.sample_names import NameCheck
from cyclip_pl.files import reason
from cyclip_pl.images import EXTENSIONS
from cyclip_pl.remote_files import open_url
from cyclip_pl.tar_members import UNREADABLE, BrokenTar, members, unpacked
from cyclip_pl.tar_samples import TarSample, samples

# What stands in a tar in place of a file, and how to have the file.
_ADVICE = {
    "link": "make the tar with --dereference --hard-dereference",
    "sparse file": "make the tar without --sparse",
}


class RawSample(NamedTuple):
    """An undecoded sample.

    Attributes:
        key: The members' common name; another sample may have it too.
        url: The shard.
        image: The member's bytes; None if there is none.
        texts: The bytes of the members that may hold captions, by extension.
        members: The extensions of all its members.
        draw: Distinguishes repeated reads of one sample within an epoch.
        place: How many samples of the shard come before it.
        twin: How many of these have the same key.
        fault: Why there are none, if the shard tells: the cause, what to do, and the number of
            images that this hides.
    """

    key: str
    url: str
    image: bytes | None
    texts: Mapping[str, bytes]
    members: tuple[str, ...]
    draw: str = ""
    place: int = 0
    twin: int = 0
    fault: tuple[str, str, int] | None = None

    @property
    def name(self) -> str:
        """The sample's name, which does not depend on where its shards are kept."""
        twin = f"#{self.twin}" if self.twin else ""
        return f"{os.path.basename(self.url)}/{self.key}{twin}"


class BrokenShard(Exception):
    """A shard that cannot be opened, or cannot be read to its end; the text says why.

    Args:
        cause: As of `BrokenTar`.
    """

    def __init__(self, cause: str, text: str) -> None:
        super().__init__(text)
        self.cause = cause


class ShardReader:
    """Reads shards; one per process.

    Args:
        texts: The extensions of the members that may hold captions: "txt", "json", "cls".
        keep: Whether to keep what was read. A small set is read many times, and reading the tar
            costs as much as decoding small images.
    """

    def __init__(self, texts: tuple[str, ...], keep: bool = False) -> None:
        self.texts = texts
        self.keep = keep
        self._kept: dict[str, list[RawSample]] = {}

    def __call__(self, url: str, draw: str) -> Generator[RawSample]:
        """All samples of a shard, in its order.

        Raises:
            BrokenShard: It ends early; the whole samples up to there have been given.
        """
        if url in self._kept:
            for sample in self._kept[url]:
                yield sample._replace(draw=draw)
            return
        kept = []
        with contextlib.closing(_read(url, self.texts)) as samples:
            for sample in samples:
                if self.keep:
                    kept.append(sample)
                yield sample._replace(draw=draw)
        if self.keep:
            self._kept[url] = kept


def _read(url: str, texts: tuple[str, ...]) -> Generator[RawSample]:
    suffixes = tuple(f".{extension}" for extension in (*EXTENSIONS, *texts))
    given, check, keys = 0, NameCheck(), Counter[str]()
    with contextlib.ExitStack() as stack:
        try:
            # `urls.expand` has asked whether commands may run.
            stream = open_url(url, allow_pipe=True)
            stack.callback(_close, stream)
            # Not the pipe's own `read`, which may raise before the last bytes.
            source = unpacked(stream.stream if isinstance(stream, Pipe) else stream)
            tar = members(source, lambda name: name.lower().endswith(suffixes))
            for place, sample in enumerate(samples(tar)):
                raw = _raw(sample, url, texts)
                raw = raw._replace(place=place, twin=keys[sample.key])
                keys[sample.key] += 1
                if raw.image is None or not raw.texts:
                    if sample.last:
                        continue  # what it lacks may be in the part that is lost
                    raw = raw._replace(fault=_fault(sample) or check(sample))
                yield raw
                given += 1
        except BrokenTar as error:
            raise BrokenShard(error.cause, error.after(given) + _status(stream)) from error
        except OSError as error:
            raise BrokenShard(UNREADABLE, error.strerror or reason(error)) from error


def _raw(sample: TarSample, url: str, texts: tuple[str, ...]) -> RawSample:
    found = sample.members
    image = next((found[extension].data for extension in EXTENSIONS if extension in found), None)
    read = {extension: found[extension].data for extension in texts if extension in found}
    given = {extension: data for extension, data in read.items() if data is not None}
    return RawSample(sample.key, url, image, given, tuple(found))


def _fault(sample: TarSample) -> tuple[str, str, int] | None:
    member = next((member for member in sample.members.values() if member.lacks), None)
    if member is None:
        return None
    return member.lacks, f"{member.name}: {_ADVICE.get(member.lacks, 'it is not read')}", 1


def _status(stream: Any) -> str:
    if isinstance(stream, Pipe):
        with contextlib.suppress(TimeoutExpired):
            if status := stream.proc.wait(1):
                return f" (the command ended with status {status})"
    return ""


def _close(stream: Any) -> None:
    if isinstance(stream, Pipe):
        # The command may never end by itself, and its status means nothing.
        stream.proc.kill()
    with contextlib.suppress(OSError):
        stream.close()
