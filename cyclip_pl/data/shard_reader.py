"""Undecoded samples of one shard."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Generator
from typing import Any, NamedTuple

from webdataset.gopen import Pipe
from webdataset.tariterators import group_by_keys, tar_file_expander

from cyclip_pl.images import EXTENSIONS
from cyclip_pl.remote_files import open_url


class RawSample(NamedTuple):
    """An undecoded sample.

    Attributes:
        key: The members' common name.
        url: The shard.
        image, caption: The members' bytes; None where there is none.
        members: The extensions of all its members.
        draw: Distinguishes repeated reads of one sample within an epoch.
    """

    key: str
    url: str
    image: bytes | None
    caption: bytes | None
    members: tuple[str, ...]
    draw: str = ""

    @property
    def name(self) -> str:
        """The sample's name, which does not depend on where its shards are kept."""
        return f"{os.path.basename(self.url)}/{self.key}"


class BrokenShard(Exception):
    """A shard that cannot be opened, or cannot be read to its end; the text says why."""


class ShardReader:
    """Reads shards; one per process.

    Args:
        caption_extension: The member that holds the caption, "txt" or "json".
        keep: Whether to keep what was read. A small set is read many times, and reading the tar
            costs as much as decoding small images.
    """

    def __init__(self, caption_extension: str, keep: bool = False) -> None:
        self.caption_extension = caption_extension
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
        with contextlib.closing(_read(url, self.caption_extension)) as samples:
            for sample in samples:
                if self.keep:
                    kept.append(sample)
                yield sample._replace(draw=draw)
        if self.keep:
            self._kept[url] = kept


def _read(url: str, caption_extension: str) -> Generator[RawSample]:
    with contextlib.ExitStack() as stack:
        try:
            # `urls.expand` has asked whether commands may run.
            source = {"url": url, "stream": open_url(url, allow_pipe=True)}
            stack.callback(_close, source["stream"])
            # A member named twice is taken once.
            for sample in group_by_keys(tar_file_expander([source]), handler=lambda error: True):
                members = tuple(name for name in sample if not name.startswith("__"))
                image = next((sample[ext] for ext in EXTENSIONS if ext in sample), None)
                caption = sample.get(caption_extension)
                yield RawSample(sample["__key__"], url, image, caption, members)
        except Exception as error:  # tarfile and the decompressors raise many kinds
            raise BrokenShard(_reason(error)) from error


def _reason(error: Exception) -> str:
    # WebDataset appends the open file to the arguments; the first is the message, if it is text.
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = str(error.args[0]) if error.args else ""
    return re.sub(r" @ <.*", "", text) or type(error).__name__


def _close(stream: Any) -> None:
    if isinstance(stream, Pipe):
        # The command may never end by itself, and its status means nothing.
        stream.proc.kill()
    with contextlib.suppress(OSError):
        stream.close()
