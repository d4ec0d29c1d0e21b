"""Files behind paths, URLs and commands, opened for reading."""

from __future__ import annotations

import glob
import io
import os
import shutil
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import urlparse
from urllib.request import url2pathname

import fsspec
from webdataset.gopen import gopen_pipe, rewrite_url

from cyclip_pl.files import atomic, reason

_BUFFER = 1 << 20


def local_path(url: str) -> str | None:
    """The file behind a path or a `file:` URL; None for what a server or a command gives."""
    url = rewrite_url(url)
    parsed = urlparse(url)
    if parsed.scheme == "file":
        return url2pathname(parsed.path)
    return os.path.expanduser(url) if parsed.scheme == "" else None


def matching(url: str) -> list[str]:
    """The files and folders, sorted, that a local path with `*`, `?`, `[…]` or `**` means.

    Anything else is returned as it is.
    """
    path = local_path(url)
    if path is None or os.path.lexists(path) or not any(sign in path for sign in "*?["):
        return [url]
    # With its folder, a file called `pipe:COMMAND` stays a file.
    return sorted(glob.glob(path if os.path.dirname(path) else f"./{path}", recursive=True))


def is_command(url: str) -> bool:
    """Whether `url` is `pipe:COMMAND`."""
    return rewrite_url(url).startswith("pipe:")


def check_url(url: str) -> None:
    """Raise ValueError, one line, for a URL of a kind that nothing here opens; it is not opened."""
    if local_path(url) is not None or is_command(url):
        return
    try:
        _check(rewrite_url(url))
    except (ValueError, ImportError) as error:  # unknown, or its package is not installed
        raise ValueError(f"cannot open {url!r}: {reason(error)}") from error


def _check(url: str) -> None:
    if "::" in url:
        # One file of a chain says how to read the next, in some formats with code.
        raise ValueError("chains of URLs are not followed")
    fsspec.get_filesystem_class(urlparse(url).scheme)


def open_url(url: str, allow_pipe: bool = False) -> BinaryIO:
    """Open a local file or a URL of any kind that fsspec knows, for one pass.

    Args:
        allow_pipe: Whether `pipe:COMMAND` may run the command.

    Raises:
        FileNotFoundError: The file does not exist.
        OSError: The file cannot be opened, or (from `read`) not be read to its end; one line that
            says why, without the URL. For http see `http_file`.
    """
    if (path := local_path(url)) is not None:
        return open(path, "rb")
    if is_command(url):
        if not allow_pipe:
            raise OSError("a command is not run here")
        return cast(BinaryIO, gopen_pipe(rewrite_url(url)))
    url = rewrite_url(url)
    if urlparse(url).scheme in ("http", "https"):
        from cyclip_pl.http_file import HttpFile  # slow to import, and only http needs it

        return io.BufferedReader(HttpFile(url), _BUFFER)
    try:
        _check(url)
        files, path = fsspec.url_to_fs(url)
        streamed = {"block_size": 0} if url.startswith("hf:") else {}
        file = _Remote(files.open(path, "rb", **streamed))
    except Exception as error:  # each kind of storage has errors of its own
        kind = FileNotFoundError if isinstance(error, FileNotFoundError) else OSError
        raise kind(_why(error)) from error
    return io.BufferedReader(file, _BUFFER)


def download(url: str, path: Path) -> None:
    """Copy what is behind `url` to `path`, whole or not at all; errors as of `open_url`."""
    with open_url(url) as source, atomic(path) as partial, open(partial, "wb") as target:
        shutil.copyfileobj(source, target, _BUFFER)


class _Remote(io.RawIOBase):
    """A file of fsspec whose errors are OSError, one line each."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._file.read(len(buffer))
        except Exception as error:
            raise OSError(_why(error)) from error
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def _why(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "not found"
    return getattr(error, "strerror", None) or reason(error)
