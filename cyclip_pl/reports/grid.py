"""Plots with one row per run and one column per data set."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cyclip_pl.metric_kinds import MISSING
from cyclip_pl.reports.canvas import COLUMNS, GREY, pages, panel_titles, panels, short
from cyclip_pl.reports.runs import Run, titles

_ROWS = 6  # in one plot

T = TypeVar("T")


def grids(
    runs: Sequence[Run], read: Callable[[Run, str], T | None], height: float, **shared: Any
) -> Iterator[tuple[Figure, list[tuple[Axes, T | None]]]]:
    """Figures of what `read` finds by run and title, and their (axes, what to show there).

    Rows and columns have their names; an empty cell shows a dash. `height` is inches of a row,
    `shared` as for `panels`.
    """
    found = {
        run.name: {t: x for t in run.metrics if (x := read(run, t)) is not None} for run in runs
    }
    for columns in pages(titles(runs, lambda run, title: title in found[run.name]), COLUMNS):
        names = [name for name, of_run in found.items() if of_run.keys() & set(columns)]
        for rows in pages(names, _ROWS):
            figure, all_axes = panels(len(rows) * len(columns), len(columns), height, **shared)
            for axes, heading in zip(all_axes[: len(columns)], panel_titles(columns), strict=True):
                axes.set_title(heading)
            for axes, name in zip(all_axes[:: len(columns)], rows, strict=True):
                _row_label(axes, name)
            contents = [found[name].get(title) for name in rows for title in columns]
            cells = list(zip(all_axes, contents, strict=True))
            for axes, content in cells:
                if content is None:
                    axes.text(0.5, 0.5, MISSING, transform=axes.transAxes, ha="center", color=GREY)
            yield figure, cells


def _row_label(axes: Axes, name: str) -> None:
    """Write a run's name left of its row, in lines of a few words."""
    lines = [""]
    for word in re.findall(r"[^\s_,=/+-]{1,16}[\s_,=/+-]?|[\s_,=/+-]", short(name, 80)):
        if len(lines[-1] + word) > 16:
            lines.append("")
        lines[-1] += word
    axes.set_ylabel("\n".join(lines), rotation=0, ha="right", va="center")
