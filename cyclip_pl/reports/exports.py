"""The table as CSV, Markdown, and on the terminal."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cyclip_pl.reports.runs import Run, of_title, titles
from cyclip_pl.reports.table import Cell, Group, figure_names


def to_csv(runs: Sequence[Run]) -> str:
    """Numbers as `metrics.json` has them, fractions and bounds too: a row a figure, a column a run.

    What a spreadsheet would take for a formula is a text to it, by an apostrophe.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([_no_formula(x) for x in ("dataset", "evaluation", "figure", *_names(runs))])
    for title in titles(runs, lambda run, title: True):
        for figure in figure_names(runs, title):
            values = [run.figures.get(title, {}).get(figure) for run in runs]
            texts = [_no_formula(x) for x in (*of_title(title), figure)]
            writer.writerow([*texts, *("" if value is None else repr(value) for value in values)])
    return out.getvalue()


def to_markdown(runs: Sequence[Run], groups: Sequence[Group]) -> str:
    """A table in GitHub's Markdown, the best of a row in bold."""
    lines = [
        ["data set", "evaluation", "figure", *map(_markdown, _names(runs))],
        ["---"] * 3 + ["---:"] * len(runs),
    ]
    for group in groups:
        for number, row in enumerate(group.rows):
            # Said once: a column of repetitions hides where a group begins.
            named = (group.dataset, group.evaluation) if number == 0 else ("", "")
            lines.append(
                [*map(_markdown, named), _markdown(row.label), *map(_markdown_cell, row.cells)]
            )
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def print_table(
    runs: Sequence[Run], groups: Sequence[Group], console: Console | None = None
) -> None:
    """For a terminal, at its own width: a log file's 80 columns must cut no figure."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column("figure")
    for run in runs:
        table.add_column(Text(run.name), justify="right")
    for group in groups:
        table.add_row(Text(group.label, style="bold"), *[""] * len(runs))
        for row in group.rows:
            cells = (Text(c.text, style="bold" if c.best else "") for c in row.cells)
            table.add_row(Text(f"  {row.label}"), *cells)
    console = console or Console()
    width = console.measure(table, options=console.options.update(width=10_000)).maximum
    if width > console.width:
        console = Console(file=console.file, width=width)
    console.print(table)


def _names(runs: Sequence[Run]) -> list[str]:
    return [run.name for run in runs]


def _no_formula(text: str) -> str:
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def _markdown(text: str) -> str:
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*|\[\]])", r"\\\1", text)


def _markdown_cell(cell: Cell) -> str:
    value = f"**{cell.text}**" if cell.best else cell.text
    return f"{value} {_markdown(cell.interval)}".rstrip()
