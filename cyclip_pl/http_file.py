"""A file behind http or https, read once from beginning to end, however the server behaves.

A server has `TIMEOUT` seconds for its answer, and as many for each `PORTION` bytes: one that sends
a byte now and then counts as stalled. Only the time in which the reader waits is counted.

A busy or broken server is asked again after `RETRY_AFTER`, which holds for the whole file, and only
until the file has failed once. A file that breaks off goes on from the byte that was reached, if it
is still the same file.
"""

from __future__ import annotations

import io
import logging
import time
from typing import Any

import aiohttp
import fsspec
from aiohttp.http import HttpProcessingError
from fsspec.asyn import sync
from fsspec.exceptions import FSTimeoutError

from cyclip_pl.files import reason

logger = logging.getLogger(__name__)

TIMEOUT = 10.0  # seconds
PORTION = 1 << 18  # bytes
RETRY_AFTER = (1, 5, 15)  # seconds
LONGEST_WAIT = 30  # seconds, where the server itself says when to come back
_failed: set[str] = set()  # URLs; asked once each time, until they come whole
_FOR_GOOD = (aiohttp.ClientSSLError, aiohttp.ServerFingerprintMismatch)


class HttpFile(io.RawIOBase):
    """What is behind `url`; the server is asked at once.

    Raises:
        FileNotFoundError: The server answers that there is no such file.
        OSError: From here or from `read`, one line that says why, without the URL.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        # trust_env: proxies and ~/.netrc, as curl has them. The time-outs are those above.
        client = {"timeout": aiohttp.ClientTimeout(total=None), "trust_env": True}
        self._http = fsspec.filesystem(url.split(":")[0].lower(), client_kwargs=client)
        self._answer: aiohttp.ClientResponse | None = None
        self._version: tuple[str | None, ...] = ()  # what tells this file from another one
        self._position = self._safe = 0  # where it is, and where it failed before
        self._waited, self._portion = 0.0, 0  # seconds and bytes since the last whole portion
        self._delays = iter(() if url in _failed else RETRY_AFTER)
        self._next(0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._next(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._hang_up()
        super().close()

    def _next(self, most: int) -> bytes:
        """The next bytes, empty at the end; asks again where that may help."""
        while True:
            try:
                answer = self._answer or self._ask()
                data = self._receive(answer, most) if most else b""
                self._position += len(data)
                if most and not data:
                    _failed.discard(self._url)
                return data
            except Exception as error:
                self._hang_up()
                why, at = self._why(error), f" at byte {self._position}" if self._position else ""
                delay = next(self._delays, None)
                if delay is None or not self._may_pass(error):
                    _failed.add(self._url)
                    gone = getattr(error, "status", None) in (404, 410)
                    raise (FileNotFoundError if gone else OSError)(why) from error
                self._safe = self._position
                delay = max(delay, min(_told(error), LONGEST_WAIT))
                logger.warning("%s: %s%s; asking again in %d s", self._url, why, at, delay)
                time.sleep(delay)

    def _ask(self) -> aiohttp.ClientResponse:
        """Ask for the file from the position that was reached."""
        self._waited, self._portion = 0.0, 0
        headers = {"Accept-Encoding": "identity"}  # else positions are not those of the file
        if self._position:
            headers["Range"] = f"bytes={self._position}-"

        async def ask() -> aiohttp.ClientResponse:
            session = await self._http.set_session()
            return await session.get(self._url, headers=headers)

        self._answer = answer = sync(self._http.loop, ask, timeout=TIMEOUT)
        answer.raise_for_status()
        if answer.content_type == "text/html":
            raise OSError("the server sent a web page instead of the file")
        version = _version(answer)
        if self._position == 0:
            self._version = version
        elif version != self._version or not any(version):
            raise OSError("it is another file since it broke off")
        elif answer.status != 206:  # the server does not know ranges
            self._skip(answer, self._position)
        return answer

    def _skip(self, answer: aiohttp.ClientResponse, size: int) -> None:
        while size:
            data = self._receive(answer, min(size, PORTION))
            if not data:
                raise aiohttp.ClientPayloadError
            size -= len(data)

    def _receive(self, answer: aiohttp.ClientResponse, most: int) -> bytes:
        left, start = max(TIMEOUT - self._waited, 1e-3), time.monotonic()
        data: bytes = sync(self._http.loop, _read, answer.content, most, timeout=left)
        self._waited += time.monotonic() - start
        self._portion += len(data)
        if self._portion >= PORTION:
            self._waited, self._portion = 0.0, 0
        return data

    def _hang_up(self) -> None:
        if self._answer is not None:
            self._http.loop.call_soon_threadsafe(self._answer.close)
            self._answer = None

    def _may_pass(self, error: Exception) -> bool:
        match error:
            case aiohttp.ClientResponseError():
                return error.status in (408, 429) or error.status >= 500
            case FSTimeoutError():
                return self._position >= self._safe + PORTION  # else it has had its time
            case aiohttp.ClientConnectionError():
                return not isinstance(error, _FOR_GOOD)
        return isinstance(error, aiohttp.ClientPayloadError)

    def _why(self, error: Exception) -> str:
        match error:
            case aiohttp.TooManyRedirects():
                return "the server redirects in a circle"
            case aiohttp.ClientResponseError() if isinstance(error.__cause__, HttpProcessingError):
                return f"the answer is not HTTP: {error.message.splitlines()[0].rstrip(':')}"
            case aiohttp.ClientResponseError():
                return reason(ValueError(f"the server answered {error.status} {error.message}"))
            case aiohttp.ServerDisconnectedError():
                return "the server closed the connection"
            case FSTimeoutError():
                if self._portion:
                    return f"timed out: {self._portion} bytes in {TIMEOUT:g} s"
                return f"timed out: no data for {TIMEOUT:g} s"
            case aiohttp.ClientPayloadError():
                return "it broke off before its end"
        if type(error).__name__.endswith("RedirectClientError"):  # from aiohttp 3.10 on
            return f"the server redirects to {reason(error)}"
        return getattr(error, "strerror", None) or reason(error)


async def _read(content: aiohttp.StreamReader, most: int) -> bytes:
    try:
        return await content.read(most)
    except aiohttp.ClientError as error:
        # aiohttp raises the error at once; the bytes that came before it are still there.
        content.set_exception(None)  # type: ignore[arg-type]
        data = content.read_nowait(most)
        content.set_exception(error)
        if not data:
            raise
        return data


def _version(answer: aiohttp.ClientResponse) -> tuple[str | None, ...]:
    """What tells a file from another one behind the same URL; empty if that cannot be told."""
    headers = answer.headers
    if headers.get("Content-Encoding", "identity") != "identity":
        return ()
    size = headers.get("Content-Length")
    if answer.status == 206:
        size = headers.get("Content-Range", "").rpartition("/")[2]
    return headers.get("ETag"), headers.get("Last-Modified"), size


def _told(error: Exception) -> int:
    """Seconds after which the server wants to be asked again; 0 if it does not say."""
    headers = getattr(error, "headers", None) or {}
    after = headers.get("Retry-After", "")
    return int(after) if after.isdecimal() and len(after) < 9 else 0
