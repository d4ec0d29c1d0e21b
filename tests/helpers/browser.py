"""A headless Chromium over its DevTools pipe: what a page loads, logs and shows.

https://chromedevtools.github.io/devtools-protocol; messages are JSON between zero bytes.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import time
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_PATIENCE = 60  # seconds for an answer


def executable() -> str | None:
    """The first browser on PATH that speaks the protocol; Firefox does not, over a pipe."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Page:
    """One page of a browser, opened and loaded; a context manager that ends the browser.

    Attributes:
        events: All that the browser told, in order, as (method, params).
    """

    def __init__(self, url: str, profile: Path, width: int = 1000, dark: bool = False) -> None:
        path = executable()
        assert path, "no browser"
        to_browser, from_browser = _pipe(), _pipe()
        arguments = [
            path,
            "--headless",
            "--remote-debugging-pipe",
            f"--user-data-dir={profile}",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            *(["--no-sandbox"] if os.geteuid() == 0 else []),
            "about:blank",
        ]
        null = os.open(os.devnull, os.O_RDWR)
        self._process = os.posix_spawn(
            path,
            arguments,
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, null, 1),
                (os.POSIX_SPAWN_DUP2, null, 2),
                (os.POSIX_SPAWN_DUP2, to_browser[0], 3),
                (os.POSIX_SPAWN_DUP2, from_browser[1], 4),
            ],
            setpgroup=0,
        )
        for unused in (null, to_browser[0], from_browser[1]):
            os.close(unused)
        self._read, self._write = from_browser[0], to_browser[1]
        self._unread = b""
        self._calls = 0
        self._session: str | None = None
        self.events: list[tuple[str, dict[str, Any]]] = []
        try:
            target = self.call("Target.createTarget", url="about:blank")["targetId"]
            attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
            self._session = attached["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.call(f"{domain}.enable")
            self.call(
                "Emulation.setDeviceMetricsOverride",
                width=width,
                height=800,
                deviceScaleFactor=1,
                mobile=False,
            )
            scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
            self.call("Emulation.setEmulatedMedia", features=[scheme])
            self.call("Page.navigate", url=url)
            self._until(lambda method, params: method == "Page.loadEventFired")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Page:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the browser and all that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)
        os.close(self._read)
        os.close(self._write)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """A command's result."""
        self._calls += 1
        message = {"id": self._calls, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._calls:
            self._keep(answer)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def evaluate(self, expression: str) -> Any:
        """The JSON value of an expression, awaited."""
        found = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def screenshot(self) -> bytes:
        """PNG of the whole page."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        return base64.b64decode(shot["data"])

    def requests(self) -> list[str]:
        """URLs that the page asked for."""
        return [p["request"]["url"] for m, p in self.events if m == "Network.requestWillBeSent"]

    def complaints(self) -> list[dict[str, Any]]:
        """What is on the console, errors and plain lines, and what scripts threw."""
        kinds = ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")
        return [params for method, params in self.events if method in kinds]

    def _until(self, wanted: Any) -> None:
        while not any(wanted(*event) for event in self.events):
            self._keep(self._next())

    def _keep(self, message: dict[str, Any]) -> None:
        if "method" in message:
            self.events.append((message["method"], message["params"]))

    def _next(self) -> dict[str, Any]:
        end = time.monotonic() + _PATIENCE
        while b"\0" not in self._unread:
            ready, _, _ = select.select([self._read], [], [], max(0, end - time.monotonic()))
            piece = os.read(self._read, 1 << 20) if ready else b""
            if not piece:
                raise RuntimeError("the browser ended" if ready else "the browser does not answer")
            self._unread += piece
        message, _, self._unread = self._unread.partition(b"\0")
        return json.loads(message)


def _pipe() -> tuple[int, int]:
    """A pipe whose ends are not 3 or 4, which the browser's ends become."""
    ends = os.pipe()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends]
    for end in ends:
        os.close(end)
    return high[0], high[1]
