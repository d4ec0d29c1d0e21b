"""Tables on a terminal, in one look."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table


def new_table(title: str | None = None) -> Table:
    """An empty table with a line under its head; `title` is plain text, not markup."""
    return Table(
        title=title and escape(title),
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
    )


def show(table: Table, console: Console | None = None) -> None:
    """Print a table at its own width, because the 80 columns of a log file would cut numbers."""
    console = console or Console()
    width = console.measure(table, options=console.options.update(width=10_000)).maximum
    if width > console.width:
        console = Console(file=console.file, width=width)
    console.print(table)


def plain(text: str) -> str:
    """One printable line: control characters, which could steer a terminal, become U+FFFD."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
