"""Consistency score against the number of neighbours."""

from __future__ import annotations

import re
from collections.abc import Sequence

from cyclip_pl.reports.canvas import (
    PANELS,
    Plot,
    legend,
    numbered,
    pages,
    panel_titles,
    panels,
    run_colour,
    run_line,
    to_png,
)
from cyclip_pl.reports.runs import Point, Run, titles

NAME = "consistency"
NEEDS = "figures of evaluation=[consistency]"

_K = re.compile(r"k([1-9]\d{0,8})")


def scores(run: Run, title: str) -> dict[int, Point]:
    """The consistency scores that a run has under a title, by k."""
    found = {
        int(match[1]): point
        for figure in run.figures.get(title, {})
        if (match := _K.fullmatch(figure)) and (point := run.point(title, figure))
    }
    return dict(sorted(found.items()))


def draw(runs: Sequence[Run]) -> list[Plot]:
    """A panel a data set, a line a run."""
    parts = pages(titles(runs, lambda run, title: bool(scores(run, title))), PANELS)
    return [
        Plot(
            numbered(NAME, number, len(parts)),
            "Consistency score against k",
            "Share of test images whose zero-shot prediction is the majority label of their k "
            "nearest labelled training images; bars are 95 % intervals over test images.",
            _picture(runs, shown),
        )
        for number, shown in enumerate(parts)
    ]


def _picture(runs: Sequence[Run], shown: Sequence[str]) -> bytes:
    from matplotlib.lines import Line2D

    figure, all_axes = panels(len(shown))
    used = [n for n, run in enumerate(runs) if any(scores(run, title) for title in shown)]
    for axes, title, name in zip(all_axes, shown, panel_titles(shown), strict=True):
        axes.set_title(name)
        axes.set_xscale("log")
        axes.grid(axis="y")
        ks = sorted({k for run in runs for k in scores(run, title)})
        axes.set_xticks(ks, [str(k) for k in ks])
        axes.minorticks_off()
        for place, number in enumerate(used):
            if not (points := scores(runs[number], title)):
                continue
            # Beside each other, that intervals do not cover one another.
            aside = 1.03 ** (place - (len(used) - 1) / 2)
            for k, point in points.items():
                bounds = [100 * point.low, 100 * point.high]
                axes.plot([aside * k] * 2, bounds, lw=1, color=run_colour(number))
            values = [100 * point.value for point in points.values()]
            axes.plot([aside * k for k in points], values, **run_line(number))
    figure.supxlabel("nearest training images k")
    figure.supylabel("consistency (%)")
    legend(figure, {runs[n].name: Line2D([], [], **run_line(n)) for n in used})
    return to_png(figure)
