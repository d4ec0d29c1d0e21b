"""All metrics of all runs: metrics down, runs across, grouped by data set and evaluation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cyclip_pl.metric_kinds import BOUNDS, COUNTS, kind_of, label, without_bounds
from cyclip_pl.reports.paired import paired
from cyclip_pl.reports.run_order import natural
from cyclip_pl.reports.runs import Run, of_title, titles


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

    The best of a row is marked where one direction is better and its interval lies apart from that
    of every other run; without intervals, where its paired difference from every other run does.
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
    text = kind_of(metric).text
    best = _best(runs, title, metric)
    cells = []
    for number, run in enumerate(runs):
        ends = [run.value(title, metric + bound) for bound in BOUNDS]
        interval = "" if None in ends else "[{}, {}]".format(*map(text, ends))
        cells.append(Cell(text(run.value(title, metric)), interval, number == best))
    return Row(metric, tuple(cells))


def _best(runs: Sequence[Run], title: str, metric: str) -> int | None:
    """The run that is better than all others by more than chance, if there is one."""
    better = kind_of(metric).better
    values = {n: run.value(title, metric) for n, run in enumerate(runs)}
    finite = {n: v for n, v in values.items() if v is not None and math.isfinite(v)}
    if not better or len(finite) < 2:
        return None
    best = max(finite, key=lambda n: better * finite[n])
    apart = (_apart(runs[best], runs[n], title, metric, better) for n in finite if n != best)
    return best if all(apart) else None


def _apart(run: Run, other: Run, title: str, metric: str, better: int) -> bool:
    ends, others = ([one.value(title, metric + b) for b in BOUNDS] for one in (run, other))
    if None in ends or None in others:
        pair = paired(run, other, title, metric)
        return pair is not None and pair.apart and better * pair.value > 0
    return intervals_apart(ends, others, better)


def intervals_apart(
    ends: Sequence[float | None], others: Sequence[float | None], better: int
) -> bool:
    """Whether the first interval lies wholly on the better side of the second."""
    (low, high), (other_low, other_high) = ends, others
    if low is None or high is None or other_low is None or other_high is None:
        return False
    return low > other_high if better > 0 else high < other_low
