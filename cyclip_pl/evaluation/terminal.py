"""Metrics as tables on the terminal: data sets down, metrics across."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cyclip_pl.console import new_table, show
from cyclip_pl.metric_kinds import BOUNDS, kind_of, without_bounds


def tables(metrics: Mapping[str, float]) -> list[Table]:
    """A table for each evaluation among `<dataset>/<evaluation>/<metric>` entries.

    Fractions are in percent with one decimal. Half the width of a metric's interval follows it.
    Other entries (`train/seconds`) are not from an evaluation and are left out.
    """
    return [_table(name, sets, _columns(sets)) for name, sets in _by_evaluation(metrics).items()]


def print_table(metrics: Mapping[str, float], console: Console | None = None) -> None:
    """Print `tables(metrics)`; what is too wide in several parts."""
    for name, sets in _by_evaluation(metrics).items():
        show(_columns(sets), partial(_table, name, sets), console)


def _by_evaluation(metrics: Mapping[str, float]) -> dict[str, dict[str, dict[str, float]]]:
    """The metrics of each set of each evaluation."""
    rows: dict[str, dict[str, dict[str, float]]] = {}
    for key, value in metrics.items():
        parts = key.split("/")
        if len(parts) == 3:
            dataset, evaluation, metric = parts
            rows.setdefault(evaluation, {}).setdefault(dataset, {})[metric] = value
    return rows


def _columns(datasets: Mapping[str, Mapping[str, float]]) -> list[str]:
    columns = without_bounds(dict.fromkeys(metric for row in datasets.values() for metric in row))
    if not any(row.get("skipped") for row in datasets.values()):
        columns = [metric for metric in columns if metric != "skipped"]
    return columns


def _table(
    evaluation: str, datasets: Mapping[str, Mapping[str, float]], columns: Sequence[str]
) -> Table:
    table = new_table(evaluation)
    table.add_column("dataset")
    for metric in columns:
        head = f"{metric.replace('_', chr(10))} {kind_of(metric).unit}".rstrip()
        table.add_column(head, justify="right")
    for dataset, row in datasets.items():
        table.add_row(escape(dataset), *(_cell(metric, row) for metric in columns))
    return table


def _cell(metric: str, row: Mapping[str, float]) -> str:
    if metric not in row:
        return ""
    kind = kind_of(metric)
    low, high = (row.get(metric + bound) for bound in BOUNDS)
    half = "" if low is None or high is None else f" ±{kind.text((high - low) / 2)}"
    return kind.text(row[metric]) + half
