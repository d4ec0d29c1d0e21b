"""Plots with one row per run and one column per data set."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cyclip_pl.reports.canvas import COLUMNS, GREY, pages, panel_titles, panels, short
from cyclip_pl.reports.runs import Run, titles

_ROWS = 6  # in one plot

T = TypeVar("T")


def grids(
    runs: Sequence[Run], read: Callable[[Run, str], T | None]
) -> list[tuple[dict[str, dict[str, T]], Sequence[str]]]:
    """What `read` finds, dealt to plots of a few data sets and a few runs.

    Returns:
        For each plot, what was found by run name and title, and the plot's titles.
    """
    found = {
        run.name: {t: x for t in run.metrics if (x := read(run, t)) is not None} for run in runs
    }
    parts = []
    for columns in pages(titles(runs, lambda run, title: title in found[run.name]), COLUMNS):
        rows = {name: row for name, row in found.items() if row.keys() & set(columns)}
        for names in pages(list(rows), _ROWS):
            parts.append(({name: rows[name] for name in names}, columns))
    return parts


def grid_cells(
    rows: Mapping[str, Mapping[str, T]], shown: Sequence[str], height: float, **shared: Any
) -> tuple[Figure, list[tuple[Axes, T | None]]]:
    """A figure with named rows and columns, and each of its axes with what it is to show.

    Args:
        rows: What was found, by run name and title; an empty cell shows a dash.
        shown: The titles.
        height: Inches of a row.
        shared: As for `panels`.
    """
    figure, all_axes = panels(len(rows) * len(shown), len(shown), height, **shared)
    cells = []
    for place, axes in enumerate(all_axes):
        line, column = divmod(place, len(shown))
        name = list(rows)[line]
        if line == 0:
            axes.set_title(panel_titles(shown)[column])
        if column == 0:
            _row_label(axes, name)
        found = rows[name].get(shown[column])
        if found is None:
            axes.text(0.5, 0.5, "–", transform=axes.transAxes, ha="center", color=GREY)
        cells.append((axes, found))
    return figure, cells


def _row_label(axes: Axes, name: str) -> None:
    """Write a run's name left of its row, in lines of a few words."""
    lines = [""]
    for word in re.findall(r"[^\s_,=/+-]{1,16}[\s_,=/+-]?|[\s_,=/+-]", short(name, 80)):
        if len(lines[-1] + word) > 16:
            lines.append("")
        lines[-1] += word
    axes.set_ylabel("\n".join(lines), rotation=0, ha="right", va="center")
