"""The progress bar of what takes long before the page is there."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def bar() -> Progress:
    """A bar on the terminal; nothing where the output is a file."""
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    off = not console.is_terminal
    return Progress(*columns, TimeRemainingColumn(), console=console, disable=off)
