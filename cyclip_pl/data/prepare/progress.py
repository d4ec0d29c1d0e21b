"""How far a preparation is: a bar on a terminal, else a line every so often."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType

from rich import progress
from rich.console import Console

SECONDS = 30.0
"""Between two lines."""


class Progress:
    """Tells how many images are done, on stderr.

    Args:
        total: How many there are; None if nobody knows.
        done: How many an earlier process did.
        console: Where to tell.
        clock: Seconds, for the lines.
    """

    def __init__(
        self,
        total: int | None,
        done: int = 0,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console or Console(file=sys.stderr)
        self._total, self._done, self._bad, self._clock = total, done, 0, clock
        self._last = clock()
        self._bar = progress.Progress(
            progress.TextColumn("images"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeRemainingColumn(),
            progress.TextColumn("{task.fields[bad]} bad rows"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("", total=total, completed=done, bad=0)

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.stop()
        if not self._console.is_terminal:
            self._tell()

    def advance(self, bad: int) -> None:
        """One more is done; `bad` rows are bad so far."""
        self._done, self._bad = self._done + 1, bad
        self._bar.update(self._task, advance=1, bad=bad)
        if not self._console.is_terminal and self._clock() - self._last >= SECONDS:
            self._last = self._clock()
            self._tell()

    def _tell(self) -> None:
        of = "" if self._total is None else f" of {self._total:,}"
        # Not through rich, which would break the line at the width of a terminal.
        print(f"images: {self._done:,}{of}, {self._bad:,} bad rows", file=self._console.file)
        self._console.file.flush()
