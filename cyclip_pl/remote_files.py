"""Files behind paths, URLs and commands, opened for reading."""

from __future__ import annotations

import io
import logging
import shutil
import time
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import urlparse
from urllib.request import url2pathname

import fsspec
from webdataset.gopen import gopen, rewrite_url

from cyclip_pl.files import atomic, reason

logger = logging.getLogger(__name__)

TIMEOUT = 15  # seconds without a byte, after which a server counts as stalled
RETRY_AFTER = (1, 5, 15)  # seconds; a server that is busy or restarts is asked again
_BUFFER = 1 << 20


def local_path(url: str) -> str | None:
    """The file behind a path or a `file:` URL; None for what a server or a command gives."""
    url = rewrite_url(url)
    parsed = urlparse(url)
    if parsed.scheme == "file":
        return url2pathname(parsed.path)
    return url if parsed.scheme == "" else None


def check_url(url: str) -> None:
    """Raise ValueError, one line, for a URL of a kind that nothing here opens; it is not opened."""
    scheme = urlparse(rewrite_url(url)).scheme
    if local_path(url) is not None or scheme == "pipe":
        return
    try:
        fsspec.get_filesystem_class(scheme)
    except (ValueError, ImportError) as error:  # unknown, or its package is not installed
        raise ValueError(
            f"cannot open {url!r}: {reason(error)} (any command that writes the file serves "
            "as 'pipe:COMMAND')"
        ) from error


def open_url(url: str) -> BinaryIO:
    """Open a local file, a URL of any kind that fsspec knows, or `pipe:COMMAND`, for one pass.

    Raises:
        FileNotFoundError: The file does not exist.
        OSError: The file cannot be opened, or (from `read`) not be read to its end, such as when
            a server sends nothing for `TIMEOUT` seconds; one line that says why, without the URL.
    """
    if (path := local_path(url)) is not None:
        return open(path, "rb")
    url = rewrite_url(url)
    if url.startswith("pipe:"):
        return cast(BinaryIO, gopen(url))
    for delay in (*RETRY_AFTER, None):
        try:
            return cast(BinaryIO, io.BufferedReader(_Remote(_opened(url)), _BUFFER))
        except Exception as error:  # each kind of server has errors of its own
            if delay is None or not _may_pass(error):
                kind = FileNotFoundError if isinstance(error, FileNotFoundError) else OSError
                raise kind(_why(error)) from error
            logger.warning("%s: %s; asking again in %d s", url, _why(error), delay)
            time.sleep(delay)
    raise AssertionError


def download(url: str, path: Path) -> None:
    """Copy what is behind `url` to `path`, whole or not at all; errors as of `open_url`."""
    with open_url(url) as source, atomic(path) as partial, open(partial, "wb") as target:
        shutil.copyfileobj(source, target, _BUFFER)


def _opened(url: str) -> Any:
    scheme = urlparse(url).scheme
    if scheme in ("http", "https"):
        import aiohttp  # slow to import, and only http needs it

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=TIMEOUT, sock_read=TIMEOUT)
        # trust_env: proxies and ~/.netrc, as curl has them.
        http = fsspec.filesystem(scheme, client_kwargs={"timeout": timeout, "trust_env": True})
        # A size, whatever it is, saves a HEAD request, whose errors would all read "not found".
        return http.open(url, "rb", block_size=0, size=1)
    files, path = fsspec.url_to_fs(url)
    streamed = {"block_size": 0} if scheme == "hf" else {}
    return files.open(path, "rb", **streamed)


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


def _may_pass(error: Exception) -> bool:
    if (status := getattr(error, "status", None)) is not None:
        return status in (408, 429) or status >= 500
    return "connect" in type(error).__name__.lower()  # refused, reset, unknown host


def _why(error: Exception) -> str:
    if (status := getattr(error, "status", None)) is not None:
        return f"the server answered {status} {getattr(error, 'message', '')}".rstrip()
    if isinstance(error, FileNotFoundError):
        return "not found"
    if "Timeout" in type(error).__name__:
        return f"timed out: no data for {TIMEOUT} s"
    if type(error).__name__ == "ClientPayloadError":
        return "it broke off before its end"
    return getattr(error, "strerror", None) or reason(error)
