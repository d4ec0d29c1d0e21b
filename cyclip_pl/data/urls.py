"""From what a user writes for shards to URLs that WebDataset opens."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

from webdataset.gopen import gopen_schemes, rewrite_url
from webdataset.shardlists import expand_urls


def expand(shards: str) -> list[str]:
    """Brace lists, `::` and `${NAME}` as WebDataset reads them; a folder is all its `*.tar`.

    Raises:
        ValueError: Nothing to read, or a kind of URL that WebDataset does not open.
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
    for url in urls:
        scheme = urlparse(url).scheme
        if local_path(url) is None and scheme not in gopen_schemes:
            known = ", ".join(sorted(name for name in gopen_schemes if not name.startswith("_")))
            raise ValueError(
                f"data.train.shards: cannot open {url!r}: allowed are local paths, file and "
                f"{known} (any command that writes a tar serves as 'pipe:COMMAND')"
            )
    if "" in urls:
        raise ValueError("data.train.shards is empty")
    return urls


def local_path(url: str) -> str | None:
    """The file behind a path or a `file:` URL; None for what a server or a command gives."""
    url = rewrite_url(url)
    parsed = urlparse(url)
    if parsed.scheme == "file":
        return url2pathname(parsed.path)
    return url if parsed.scheme == "" else None


def missing(urls: Iterable[str]) -> list[str]:
    """Those of `urls` that are local and not there, in their order."""
    paths = ((url, local_path(url)) for url in urls)
    return [url for url, path in paths if path is not None and not os.path.isfile(path)]


def size_in_bytes(urls: Iterable[str]) -> int | None:
    """Of all these files; None where one is not local."""
    paths = [local_path(url) for url in urls]
    local = [path for path in paths if path is not None]
    return sum(map(os.path.getsize, local)) if len(local) == len(paths) else None


def name_all(urls: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    more = len(urls) - 1
    return repr(urls[0]) + (f" and {more} more shard{'s' * (more > 1)}" if more else "")
