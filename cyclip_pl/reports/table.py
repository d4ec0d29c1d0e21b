"""All figures of all runs: figures down, runs across, in groups of one data set and evaluation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cyclip_pl.reports.kinds import Kind, kind_of
from cyclip_pl.reports.runs import BOUNDS, Run, natural, of_title, titles

_COUNTS = ("samples", "train_samples", "captions", "classes", "superclasses", "skipped")


@dataclass(frozen=True)
class Cell:
    """A figure of a run, as text; `interval` is empty where it has none."""

    text: str
    interval: str = ""
    best: bool = False


@dataclass(frozen=True)
class Row:
    figure: str
    unit: str
    cells: tuple[Cell, ...]

    @property
    def label(self) -> str:
        return f"{self.figure} ({self.unit})" if self.unit else self.figure


@dataclass(frozen=True)
class Group:
    dataset: str
    evaluation: str
    rows: tuple[Row, ...]

    @property
    def label(self) -> str:
        return " · ".join(part for part in (self.dataset, self.evaluation) if part) or "run"


def groups(runs: Sequence[Run]) -> list[Group]:
    """The union of the runs' figures, without the bounds, which are in the cells of theirs.

    The best of a row is marked where one direction is better and the runs differ; equal to the
    digits shown is equal.
    """
    found = []
    for title in sorted(titles(runs, lambda run, title: True), key=_sets_first):
        names = figure_names(runs, title)
        rows = tuple(
            _row(runs, title, figure)
            for figure in names
            if not any(figure == f"{of}_{bound}" for of in names for bound in BOUNDS)
            # It is news only where something was.
            and (figure != "skipped" or any(run.figures.get(title, {}).get(figure) for run in runs))
        )
        if rows:
            found.append(Group(*of_title(title), rows))
    return found


def figure_names(runs: Sequence[Run], title: str) -> list[str]:
    """The figures that any run has under a title: scores in natural order, then counts."""
    names = dict.fromkeys(name for run in runs for name in run.figures.get(title, {}))
    return sorted(names, key=lambda n: (_COUNTS.index(n) + 1 if n in _COUNTS else 0, natural(n)))


def _sets_first(title: str) -> tuple[bool, list[tuple[int, int, str]]]:
    return "/" not in title, natural(title)


def _row(runs: Sequence[Run], title: str, figure: str) -> Row:
    kind = kind_of(figure)
    values = [run.figures.get(title, {}).get(figure) for run in runs]
    best = _best(values, kind)
    cells = []
    for run, value in zip(runs, values, strict=True):
        text = kind.text(value)
        cells.append(Cell(text, _interval(run, title, figure, kind), text == best))
    return Row(figure, kind.unit, tuple(cells))


def _best(values: Sequence[float | None], kind: Kind) -> str | None:
    """The text of the best value."""
    finite = [value for value in values if value is not None and math.isfinite(value)]
    if not kind.better or len({kind.text(value) for value in finite}) < 2:
        return None
    return kind.text(max(finite, key=lambda value: kind.better * value))


def _interval(run: Run, title: str, figure: str, kind: Kind) -> str:
    bounds = [run.figures.get(title, {}).get(f"{figure}_{bound}") for bound in BOUNDS]
    if any(bound is None for bound in bounds):
        return ""
    return "[{}, {}]".format(*map(kind.text, bounds))
