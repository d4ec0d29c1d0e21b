"""From what a user writes for shards to paths and URLs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from glob import escape, glob

from webdataset.shardlists import expand_urls

from cyclip_pl.remote_files import check_url, is_command, local_path, matching

# What a wildcard takes: files of other kinds may lie beside the shards.
_TARS = (".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst")


def expand(
    shards: str,
    allow_pipe: bool = False,
    setting: str = "data.train.shards",
    permission: str = "data.allow_pipe=true",
) -> list[str]:
    """Expand brace lists, `::` and `${NAME}` as WebDataset does, then wildcards in local paths.

    A folder stands for its `*.tar`, sorted. Errors name `setting`.

    Args:
        shards: What the user wrote.
        allow_pipe: Whether commands (`pipe:COMMAND`) are permitted.
        setting: Where the user wrote it, for messages.
        permission: What permits commands, for messages.

    Raises:
        ValueError: Nothing to read, a kind of URL that nothing here opens, or a command that
            `allow_pipe` does not permit.
    """
    try:
        expanded = expand_urls(shards)
    except (AssertionError, ValueError) as error:
        # An unset ${NAME}, or unbalanced braces.
        raise ValueError(f"{setting}: cannot expand {shards!r}: {error}") from error
    urls = [file for url in expanded for file in _files(url, setting)]
    for url in urls:
        if is_command(url) and not allow_pipe:
            raise ValueError(
                f"{setting}={url}: 'pipe:' runs a command; set {permission} if you trust it"
            )
        try:
            check_url(url)
        except ValueError as error:
            raise ValueError(
                f"{setting}: {error}; what a command writes can be read as 'pipe:COMMAND', with "
                f"{permission}"
            ) from error
    return urls


def _files(url: str, setting: str) -> list[str]:
    """The shards that a path or URL means."""
    if not url:
        raise ValueError(f"{setting} is empty")
    found = matching(url)
    if not found:
        raise ValueError(f"{setting}: no file matches {url!r}")
    if found == [url] and (path := local_path(url)) is not None and os.path.isdir(path):
        shards = _in_folder(path)
        there = [entry.name + "/" * entry.is_dir() for entry in os.scandir(path)]
    elif found == [url]:
        return found
    else:
        shards, there = [shard for entry in found for shard in _matched(entry)], found
    if not shards:
        tars = f"{escape(os.path.expanduser(url))}/*/*.tar"
        below = sorted({os.path.dirname(path) for path in glob(tars)})
        hint = f"; did you mean {below[0]}?" if below else ""
        raise ValueError(f"{setting}: {url!r} holds no .tar file, but {_some(there)}{hint}")
    return shards


def _in_folder(path: str) -> list[str]:
    # With its folder, a file called `pipe:COMMAND` stays a file.
    return [os.path.join(path, name) for name in sorted(os.listdir(path)) if name.endswith(".tar")]


def _matched(entry: str) -> list[str]:
    if os.path.isdir(entry):
        return _in_folder(entry)
    return [entry] if entry.endswith(_TARS) else []


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return (", ".join(sorted(names)[:4]) or "nothing") + more


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
