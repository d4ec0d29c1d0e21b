"""Plots with one panel per data set and one point per run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cyclip_pl.reports.canvas import legend, titled_panels
from cyclip_pl.reports.run_marks import run_colour, run_marker
from cyclip_pl.reports.runs import Point, Run


def scatters(
    runs: Sequence[Run], read: Callable[[Run, str], tuple[Point, Point] | None]
) -> Iterator[tuple[Figure, list[tuple[Axes, str]]]]:
    """Figures of the (x, y) that `read` finds by run and title, and their (panel, title)."""
    for figure, titled in titled_panels(runs, read):
        used = set()
        for axes, title in titled:
            axes.grid()
            axes.margins(0.15)
            for number, run in enumerate(runs):
                if found := read(run, title):
                    _draw_point(axes, *found, number)
                    used.add(number)
            keep_fractions(axes)
        legend(figure, {runs[n].name: Line2D([], [], **run_marker(n)) for n in sorted(used)})
        yield figure, titled


def keep_fractions(axes: Axes) -> None:
    """Cut axes of fractions at zero, but leave room for a marker there."""
    for get, cut in ((axes.get_xlim, axes.set_xlim), (axes.get_ylim, axes.set_ylim)):
        low, high = get()
        if low < 0 < high:
            cut(max(low, -0.03 * high), high)


def _draw_point(axes: Axes, x: Point, y: Point, number: int) -> None:
    """Draw a run's marker in percent, with the intervals of both metrics."""
    colour = run_colour(number)
    axes.plot([100 * x.low, 100 * x.high], [100 * y.value] * 2, color=colour, lw=1, alpha=0.6)
    axes.plot([100 * x.value] * 2, [100 * y.low, 100 * y.high], color=colour, lw=1, alpha=0.6)
    axes.plot(100 * x.value, 100 * y.value, zorder=3, **run_marker(number))
