"""Tables on a terminal, in one look, no wider than the terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

Column = TypeVar("Column")


def new_table(title: str | None = None) -> Table:
    """An empty table with a line under its head; `title` is plain text, not markup."""
    return Table(
        title=title and escape(title),
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
    )


def show(
    columns: Sequence[Column],
    table: Callable[[Sequence[Column]], Table],
    console: Console | None = None,
) -> None:
    """Print `table(columns)`; if it is too wide, several tables with a part of the columns each.

    A log file has 80 columns. No number is cut: one column alone may be wider.
    """
    console = console or Console()
    rest = list(columns)
    while True:
        taken = len(rest)
        while taken > 1 and _width(table(rest[:taken]), console) > console.width:
            taken -= 1
        part = table(rest[:taken])
        wide = Console(file=console.file, width=max(console.width, _width(part, console)))
        (console if wide.width == console.width else wide).print(part)
        rest = rest[taken:]
        if not rest:
            return


def _width(table: Table, console: Console) -> int:
    return console.measure(table, options=console.options.update(width=10_000)).maximum
