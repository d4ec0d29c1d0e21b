"""All metrics of all runs: metrics down, runs across, grouped by data set and evaluation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cyclip_pl.metric_kinds import BOUNDS, COUNTS, kind_of, label, without_bounds
from cyclip_pl.reports.runs import Run, natural, of_title, titles


@dataclass(frozen=True)
class Cell:
    """A metric of one run as text; `interval` is empty where the metric has none."""

    text: str
    interval: str = ""
    best: bool = False


@dataclass(frozen=True)
class Row:
    """A metric of all runs, in their order."""

    metric: str
    cells: tuple[Cell, ...]

    @property
    def label(self) -> str:
        return label(self.metric)


@dataclass(frozen=True)
class Group:
    """The metrics of one data set in one evaluation."""

    dataset: str
    evaluation: str
    rows: tuple[Row, ...]

    @property
    def label(self) -> str:
        return " · ".join(part for part in (self.dataset, self.evaluation) if part) or "run"


def groups(runs: Sequence[Run]) -> list[Group]:
    """The union of the runs' metrics, data sets first; a cell holds the metric's interval too.

    The best of a row is marked where one direction is better and the runs differ. Values that
    print alike are equal.
    """
    found = []
    every = titles(runs, lambda run, title: True)
    for title in sorted(every, key=lambda title: "/" not in title):
        rows = tuple(
            _row(runs, title, metric)
            for metric in without_bounds(metric_names(runs, title))
            # Of interest only where a sample was skipped.
            if metric != "skipped" or any(run.value(title, metric) for run in runs)
        )
        if rows:
            found.append(Group(*of_title(title), rows))
    return found


def metric_names(runs: Sequence[Run], title: str) -> list[str]:
    """The metrics that any run has under a title: scores in natural order, then counts."""
    names = dict.fromkeys(name for run in runs for name in run.metrics.get(title, {}))
    return sorted(names, key=lambda n: (COUNTS.index(n) + 1 if n in COUNTS else 0, natural(n)))


def _row(runs: Sequence[Run], title: str, metric: str) -> Row:
    kind = kind_of(metric)
    values = [run.value(title, metric) for run in runs]
    finite = [value for value in values if value is not None and math.isfinite(value)]
    best = None
    if kind.better and len({kind.text(value) for value in finite}) > 1:
        best = kind.text(max(finite, key=lambda value: kind.better * value))
    cells = []
    for run, text in zip(runs, map(kind.text, values), strict=True):
        ends = [run.value(title, metric + bound) for bound in BOUNDS]
        interval = "" if None in ends else "[{}, {}]".format(*map(kind.text, ends))
        cells.append(Cell(text, interval, text == best))
    return Row(metric, tuple(cells))
