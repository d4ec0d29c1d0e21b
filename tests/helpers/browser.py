"""One page in a headless Chromium: what it loads, logs and shows."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

EXECUTABLE = shutil.which("chromium")

# A closed network logs an error for each of these calls to the browser's maker.
_ARGUMENTS = ("--disable-quic", "--disable-sync")


@dataclass
class Opened:
    """A loaded page.

    Attributes:
        page: Playwright's page.
        requests: URLs that the page asked for.
        complaints: All that the console shows, and what scripts raised.
    """

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@contextmanager
def opened(place: Path | str, width: int = 1000, dark: bool = False) -> Iterator[Opened]:
    """Open a file or a URL, and end the browser afterwards."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=EXECUTABLE,
            args=list(_ARGUMENTS),
            chromium_sandbox=os.geteuid() != 0,  # root cannot have it
        )
        try:
            page = browser.new_page(
                viewport={"width": width, "height": 800},
                color_scheme="dark" if dark else "light",
            )
            found = Opened(page)
            page.on("request", lambda request: found.requests.append(request.url))
            page.on("console", lambda message: found.complaints.append(message.text))
            page.on("pageerror", lambda error: found.complaints.append(str(error)))
            page.goto(place.as_uri() if isinstance(place, Path) else place)
            yield found
        finally:
            browser.close()
