"""From what a user writes for shards to paths and URLs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from webdataset.shardlists import expand_urls

from cyclip_pl.remote_files import check_url, local_path


def expand(shards: str) -> list[str]:
    """Expand brace lists, `::` and `${NAME}` as WebDataset does; a folder stands for its `*.tar`.

    Raises:
        ValueError: Nothing to read, or a kind of URL that nothing here opens.
    """
    try:
        expanded = expand_urls(shards)
    except (AssertionError, ValueError) as error:
        # An unset ${NAME}, or unbalanced braces.
        raise ValueError(f"data.train.shards: cannot expand {shards!r}: {error}") from error
    urls: list[str] = []
    for url in expanded:
        path = local_path(url)
        if path is not None and os.path.isdir(path):
            tars = sorted(str(tar) for tar in Path(path).glob("*.tar"))
            if not tars:
                raise ValueError(f"data.train.shards: the folder {url!r} holds no .tar file")
            urls.extend(tars)
        else:
            urls.append(url)
    try:
        for url in urls:
            check_url(url)
    except ValueError as error:
        raise ValueError(f"data.train.shards: {error}") from error
    if "" in urls:
        raise ValueError("data.train.shards is empty")
    return urls


def missing(urls: Iterable[str]) -> list[str]:
    """The URLs that mean a local file which does not exist, in their order."""
    paths = ((url, local_path(url)) for url in urls)
    return [url for url, path in paths if path is not None and not os.path.isfile(path)]


def size_in_bytes(urls: Iterable[str]) -> int | None:
    """Total size of local files; None if one of them is not local."""
    paths = [local_path(url) for url in urls]
    local = [path for path in paths if path is not None]
    return sum(map(os.path.getsize, local)) if len(local) == len(paths) else None


def name_all(urls: Sequence[str]) -> str:
    """The first URL and the number of the others, for messages."""
    more = len(urls) - 1
    return repr(urls[0]) + (f" and {more} more shard{'s' * (more > 1)}" if more else "")
