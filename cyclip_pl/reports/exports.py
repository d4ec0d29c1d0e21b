"""The table as CSV, as Markdown, and on the terminal."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from html import escape

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cyclip_pl.console import new_table, show
from cyclip_pl.reports.groups import Cell, Group, metric_names
from cyclip_pl.reports.runs import Run, of_title, titles


def to_csv(runs: Sequence[Run]) -> str:
    """The numbers of `metrics.json` as they are: one row per metric, one column per run.

    A name that a spreadsheet would read as a formula begins with an apostrophe, so that it is text.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = [run.name for run in runs]
    writer.writerow([_no_formula(x) for x in ("dataset", "evaluation", "metric", *names)])
    for title in titles(runs, lambda run, title: True):
        for metric in metric_names(runs, title):
            values = [run.value(title, metric) for run in runs]
            texts = [_no_formula(x) for x in (*of_title(title), metric)]
            writer.writerow([*texts, *("" if value is None else repr(value) for value in values)])
    return out.getvalue()


def to_markdown(runs: Sequence[Run], groups: Sequence[Group]) -> str:
    """A table in GitHub's Markdown; the best of a row is bold."""
    lines = [
        ["data set", "evaluation", "metric", *(_markdown(run.name) for run in runs)],
        ["---"] * 3 + ["---:"] * len(runs),
    ]
    for group in groups:
        for number, row in enumerate(group.rows):
            # Written once: repetitions would hide where a group begins.
            named = (group.dataset, group.evaluation) if number == 0 else ("", "")
            lines.append(
                [*map(_markdown, named), _markdown(row.label), *map(_markdown_cell, row.cells)]
            )
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def print_table(
    runs: Sequence[Run], groups: Sequence[Group], console: Console | None = None
) -> None:
    """Print the table."""

    def table(shown: Sequence[int]) -> Table:
        table = new_table()
        table.add_column("metric")
        for number in shown:
            table.add_column(Text(runs[number].name), justify="right")
        for group in groups:
            table.add_row(Text(group.label, style="bold"), *[""] * len(shown))
            for row in group.rows:
                cells = [row.cells[number] for number in shown]
                texts = (Text(cell.text, style="bold" if cell.best else "") for cell in cells)
                table.add_row(Text(f"  {row.label}"), *texts)
        return table

    show(range(len(runs)), table, console)


def _no_formula(text: str) -> str:
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def _markdown(text: str) -> str:
    return re.sub(r"([\\`*|\[\]])", r"\\\1", escape(text, quote=False))


def _markdown_cell(cell: Cell) -> str:
    value = f"**{cell.text}**" if cell.best else cell.text
    return f"{value} {_markdown(cell.interval)}".rstrip()
