"""Figures as a table: data sets down, figures across."""

from __future__ import annotations

import re
from collections.abc import Mapping

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

# Figures that are fractions; shown in percent.
FRACTIONS = re.compile(
    r"((fine|coarse)_)?top\d+|macro_recall|.*_to_.*_r\d+|((weighted|majority)_)?k\d+"
    r"|(.*_)?(accuracy|mean_per_class)(_std)?|(mean_)?(drop|effective_robustness)"
)
BOUNDS = ("_low", "_high")


def _cell(figure: str, row: Mapping[str, float]) -> str:
    value = row.get(figure)
    if value is None:
        return ""
    if FRACTIONS.fullmatch(figure):
        low, high = (row.get(figure + bound) for bound in BOUNDS)
        spread = "" if low is None or high is None else f" ±{50 * (high - low):.1f}"
        return f"{100 * value:.1f}{spread}"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.4g}"


def _bounded(bound: str) -> str:
    return bound.rpartition("_")[0]


def tables(figures: Mapping[str, float]) -> list[Table]:
    """A table for each evaluation among `<dataset>/<evaluation>/<figure>` entries.

    Fractions are in percent with one decimal, followed by half the width of their interval where
    they have bounds. Entries of other names (`train/seconds`) are no
    evaluation's and are left out.
    """
    rows: dict[str, dict[str, dict[str, float]]] = {}
    for key, value in figures.items():
        parts = key.split("/")
        if len(parts) == 3:
            dataset, evaluation, figure = parts
            rows.setdefault(evaluation, {}).setdefault(dataset, {})[figure] = value
    made = []
    for evaluation, datasets in rows.items():
        columns = list(dict.fromkeys(figure for row in datasets.values() for figure in row))
        columns = [c for c in columns if not (c.endswith(BOUNDS) and _bounded(c) in columns)]
        # `skipped` is news only where something was.
        columns = [c for c in columns if c != "skipped" or any(r.get(c) for r in datasets.values())]
        table = Table(
            title=escape(evaluation),
            title_justify="left",
            box=SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
            show_edge=False,
        )
        table.add_column("dataset")
        for figure in columns:
            unit = " %" if FRACTIONS.fullmatch(figure) else ""
            table.add_column(figure.replace("_", "\n") + unit, justify="right")
        for dataset, row in datasets.items():
            table.add_row(escape(dataset), *(_cell(figure, row) for figure in columns))
        made.append(table)
    return made


def print_table(figures: Mapping[str, float], console: Console | None = None) -> None:
    """Print `tables(figures)`, at their own width: a log file's 80 columns must cut no figure."""
    console = console or Console()
    unbounded = console.options.update(width=10_000)
    for table in tables(figures):
        width = console.measure(table, options=unbounded).maximum
        if width > console.width:
            console = Console(file=console.file, width=width)
        console.print(table)
