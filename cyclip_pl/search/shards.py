"""The shards that are searched, as plain tars on this machine: any image can be read alone."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from cyclip_pl.data.urls import expand, missing
from cyclip_pl.files import atomic, reason
from cyclip_pl.layout import NSHARDS
from cyclip_pl.remote_files import is_command, local_path, open_url
from cyclip_pl.tar_members import BrokenTar, unpacked

_BUFFER = 1 << 20


class Shard(NamedTuple):
    """A shard.

    Attributes:
        name: The path or URL that the user means.
        path: A tar that is not compressed, on this machine; absolute.
        stamp: Its size in bytes and its time in nanoseconds: other ones are another shard.
    """

    name: str
    path: Path
    stamp: tuple[int, int]


def find_shards(specs: Sequence[str], copies: Path) -> list[Shard]:
    """What a training's `data.train.shards` may list, and the folders of evaluation sets.

    A shard behind a URL and a compressed one are copied into `copies`, unpacked, once.

    Raises:
        ValueError: One line that names the setting or the shard.
    """
    urls = []
    for spec in specs:
        if is_command(spec):
            raise ValueError(f"shards={spec}: the search runs no commands; name a file or a URL")
        urls += expand(_split_of(spec), setting="shards")
    if lost := missing(urls):
        raise ValueError(f"shards: {lost[0]!r} does not exist")
    if len(set(urls)) < len(urls):
        twice = next(url for url in urls if urls.count(url) > 1)
        raise ValueError(f"shards: {twice!r} is named twice")
    return [_shard(url, copies) for url in urls]


def stamp_of(file: int | str | Path) -> tuple[int, int]:
    """Size and time of a file; see `Shard`."""
    status = os.stat(file)
    return status.st_size, status.st_mtime_ns


def _split_of(spec: str) -> str:
    """The folder of one split, `test` if there is one, where `spec` is an evaluation set's."""
    path = local_path(spec)
    if path is None or not os.path.isdir(path) or any(Path(path).glob("*.tar")):
        return spec
    splits = sorted(counted.parent for counted in Path(path).glob(f"*/{NSHARDS}"))
    named = [split for split in splits if split.name == "test"]
    return str(next(iter(named or splits), spec))


def _shard(url: str, copies: Path) -> Shard:
    path = local_path(url)
    # A later change behind a URL is not seen; one of a local file is.
    mark = url if path is None else f"{url} {stamp_of(path)}"
    copy = copies / f"{hashlib.sha256(mark.encode()).hexdigest()[:24]}.tar"
    if copy.is_file():
        return Shard(url, copy.absolute(), stamp_of(copy))
    try:
        with open_url(url) as stream:
            source = unpacked(stream)
            if path is not None and source is stream:
                return Shard(url, Path(path).absolute(), stamp_of(path))
            with atomic(copy) as partial, open(partial, "wb") as target:
                shutil.copyfileobj(source, target, _BUFFER)
    except (BrokenTar, OSError, EOFError, ValueError) as error:
        raise ValueError(f"shards: {url} cannot be read: {reason(error)}") from error
    return Shard(url, copy.absolute(), stamp_of(copy))
