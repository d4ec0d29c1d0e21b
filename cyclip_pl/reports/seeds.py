"""Runs that are equal but for their seed: their mean and spread."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import mean, stdev

from cyclip_pl.metric_kinds import MISSING, kind_of, without_bounds
from cyclip_pl.reports.differences import SEED, Difference, joined
from cyclip_pl.reports.groups import Cell, Group, Row, metric_names
from cyclip_pl.reports.runs import Run, of_title, titles


def over_seeds(
    runs: Sequence[Run], found: Sequence[Difference]
) -> tuple[list[str], list[Group]] | None:
    """A table of mean ± standard deviation over seeds; None if no two runs differ in it alone.

    Returns:
        The names of its columns, by what else differs, and its rows, of metrics for which one
        direction is better.
    """
    others = [one for one in found if one.name != SEED]
    if len(others) == len(found):
        return None
    columns: dict[tuple[str | None, ...], list[int]] = {}
    for number, run in enumerate(runs):
        if SEED in run.config.settings:
            key = tuple(one.values[number] for one in others)
            columns.setdefault(key, []).append(number)
    if not any(len(numbers) > 1 for numbers in columns.values()):
        return None
    names = [
        f"{joined(others, numbers[0]) or 'all runs'} ({len(numbers)} "
        f"seed{'s' if len(numbers) > 1 else ''})"
        for numbers in columns.values()
    ]
    groups = []
    for title in titles(runs, lambda run, title: True):
        rows = []
        for metric in without_bounds(metric_names(runs, title)):
            if kind_of(metric).better:
                of_columns = [[runs[n] for n in numbers] for numbers in columns.values()]
                rows.append(Row(metric, tuple(_cell(of, title, metric) for of in of_columns)))
        if rows:
            groups.append(Group(*of_title(title), tuple(rows)))
    return names, groups


def _cell(runs: Sequence[Run], title: str, metric: str) -> Cell:
    values = [run.value(title, metric) for run in runs]
    finite = [value for value in values if value is not None and math.isfinite(value)]
    if len(finite) < len(values):
        return Cell(MISSING)
    text = kind_of(metric).text
    return Cell(text(mean(finite)), f"± {text(stdev(finite))}" if len(finite) > 1 else "")
