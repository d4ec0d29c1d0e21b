"""Sets in the WebDataset layout behind URLs, brought here once.

Either the base of a set, as `clip_benchmark` has them on Hugging Face,

    https://huggingface.co/datasets/clip-benchmark/wds_cifar10

or a list of the shards of one split, with the class names where the layout has them:

    https://host/wds_cifar10/test/{0..3}.tar

URLs are opened by WebDataset, as the training's are. Any image of a set must be readable alone, so
shards are downloaded whole; `nshards.txt` comes last and says that a split is all there.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlparse
from urllib.request import getproxies, url2pathname

from cyclip_pl.evaluation.sets.classification import CLASSNAMES, HIERARCHY, TEMPLATES
from cyclip_pl.evaluation.sets.image_shards import NoSplit
from cyclip_pl.files import locked

logger = logging.getLogger(__name__)

DOWNLOADS = "~/.cache/cyclip_pl"
_KIND = "dataset_type.txt"
_SHARDS = "nshards.txt"
_HUGGING_FACE = re.compile(
    r"(https://huggingface\.co/datasets/[^/]+/[^/]+)(?:/(?:tree|blob|raw|resolve)/([^/]+))?/*"
)
_CURL = {
    6: "unknown host",
    7: "no connection",
    18: "it broke off",
    22: "the server refused",
    28: "timed out",
}
_ABSENT = 22  # curl's status for what the server answers with 4xx


def is_remote(spec: str) -> bool:
    """Whether this is a URL, or a list of shards rather than a folder."""
    return "://" in spec or spec.startswith(("file:", "pipe:")) or spec.endswith(".tar")


def name_of(spec: str) -> str:
    """What figures call such a set: the last part of its base."""
    base = _base_and_shards(spec)[0]
    if match := _HUGGING_FACE.fullmatch(base):
        base = match[1]
    return base.rsplit("/", 1)[-1]


def local_copy(
    spec: str,
    split: str,
    downloads: str | Path,
    download: bool = True,
    needed: Sequence[str] = (CLASSNAMES,),
) -> Path:
    """The folder with the set's layout: fetched if it is not there yet, this split of it.

    A later change behind the URL goes unseen: remove the folder to fetch it again. What an
    interrupted download had is kept. A local set is not copied.

    Args:
        spec: A base URL, or a list of shards with `{0..9}` or `::` between them.
        split: The split wanted; a list must be of this one.
        downloads: Where sets are kept.
        download: Whether to fetch what is not there.
        needed: Files beside the shards that the set must have.

    Raises:
        NoSplit: The set is there, this split of it is not.
        ValueError: One line that names the URL.
    """
    base, shards = _base_and_shards(spec)
    if shards is None and (folder := _path(base)) is not None:
        return folder
    if shards is not None and (found := shards[0].rsplit("/", 2)[-2]) != split:
        raise NoSplit(f"{spec} lists shards of the split {found!r}, and {split!r} is needed")
    key = hashlib.sha256("\n".join([base, *(shards or ())]).encode()).hexdigest()[:12]
    name = re.sub(r"[^\w.-]", "_", name_of(spec))
    folder = Path(downloads).expanduser() / f"{name}-{key}"
    if _complete(folder / split):
        return folder
    if not download:
        missing = NoSplit if any(_complete(path) for path in folder.glob("*/")) else ValueError
        raise missing(f"{spec} is not in {folder}, and downloads are switched off")
    (folder / split).mkdir(parents=True, exist_ok=True)
    with locked(folder / ".lock"):
        if not _complete(folder / split):  # by the one that was waited for
            _fetch_set(_resolved(base), shards, split, folder, needed)
    return folder


def _base_and_shards(spec: str) -> tuple[str, list[str] | None]:
    """The set's base, and the shards if `spec` lists them."""
    from webdataset.shardlists import expand_urls

    if spec.startswith("pipe:"):
        raise ValueError(f"{spec!r}: a set is several files, which one command cannot give")
    if not spec.endswith(".tar"):
        return spec.rstrip("/"), None
    try:
        shards = list(expand_urls(spec))
    except (AssertionError, ValueError) as error:
        raise ValueError(f"cannot expand {spec!r}: {error}") from error
    folders = {shard.rsplit("/", 1)[0] for shard in shards}
    if len(folders) > 1 or shards[0].count("/") < 2:
        raise ValueError(f"{spec!r}: the shards must lie in one folder, <set>/<split>/")
    return folders.pop().rsplit("/", 1)[0], shards


def _resolved(base: str) -> str:
    """Where the files are that Hugging Face's page of a set shows."""
    match = _HUGGING_FACE.fullmatch(base)
    return f"{match[1]}/resolve/{match[2] or 'main'}" if match else base


def _path(url: str) -> Path | None:
    """The local path that a URL means, or None."""
    from webdataset.gopen import rewrite_url

    parsed = urlparse(rewrite_url(url))
    if parsed.scheme == "file":
        return Path(url2pathname(parsed.path))
    return Path(rewrite_url(url)) if parsed.scheme == "" else None


def _complete(split: Path) -> bool:
    """Whether a split is all there, and what was linked still is."""
    return (split / _SHARDS).is_file() and all(shard.is_file() for shard in split.glob("*.tar"))


def _fetch_set(
    base: str, shards: list[str] | None, split: str, folder: Path, needed: Sequence[str]
) -> None:
    _check_host(base)
    logger.info("fetching %s/%s into %s", base, split, folder)
    for name in needed:
        _fetch(f"{base}/{name}", folder / name)
    for name in (TEMPLATES, HIERARCHY, _KIND):
        _fetch(f"{base}/{name}", folder / name, optional=True)
    count = folder / split / f"{_SHARDS}.fetched"
    if shards is None:
        url = f"{base}/{split}/{_SHARDS}"
        if not _fetch(url, count, optional=True):
            raise NoSplit(f"{url} is not there: the set has no split {split!r}")
        text = count.read_bytes()[:40].strip()
        if not text.isdigit() or len(text) > 6:
            count.unlink()
            raise ValueError(f"{url} must hold the number of shards, it holds {text!r}")
        shards = [f"{base}/{split}/{number}.tar" for number in range(int(text))]
    else:
        count.write_text(f"{len(shards)}\n")
    for number, shard in enumerate(shards):
        _fetch(shard, folder / split / f"{number}.tar")
    count.replace(folder / split / _SHARDS)


def _check_host(url: str) -> None:
    """At once where there is no network: curl asks for a minute."""
    parsed = urlparse(url)
    if parsed.scheme in ("http", "https") and not getproxies():
        try:
            socket.getaddrinfo(parsed.hostname, None)
        except OSError as error:
            raise ValueError(f"{url} cannot be fetched: {_CURL[6]}") from error


def _fetch(url: str, path: Path, optional: bool = False) -> bool:
    """The file behind `url`, whole, or a link to it if it is a local shard.

    Returns:
        False if the server has none, and `optional` is set.
    """
    from webdataset.gopen import gopen

    if path.suffix == ".tar":
        local = _path(url)
        if local is not None and local.is_file():
            path.unlink(missing_ok=True)
            path.symlink_to(local.absolute())
            return True
        if path.is_file():
            return True
    partial = path.with_name(f".{path.name}.partial")
    stream: Any = None
    try:
        stream = gopen(url)
        with open(partial, "wb") as file:
            _copy(stream, file)
        stream.close()  # here a command's status shows
    except Exception as error:  # whatever the schemes' commands raise
        partial.unlink(missing_ok=True)
        status = _status(stream)
        if optional and (isinstance(error, FileNotFoundError) or status == _ABSENT):
            return False
        reason = _CURL.get(status or 0) or getattr(error, "strerror", None)
        reason = reason or (f"status {status}" if status else " ".join(str(error).split())[:200])
        raise ValueError(f"{url} cannot be fetched: {reason}") from error
    os.replace(partial, path)
    return True


def _copy(stream: Any, file: BinaryIO) -> None:
    while data := stream.read(1 << 20):
        file.write(data)


def _status(stream: Any) -> int | None:
    """The exit status of the command that a stream comes from; None if there is none yet."""
    process = getattr(stream, "proc", None)
    if process is None:
        return None
    status = process.poll()
    if status is None:
        process.kill()
    process.stdout.close()
    process.wait()
    return status
