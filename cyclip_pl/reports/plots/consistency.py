"""Consistency score against the number of neighbours."""

from __future__ import annotations

import re
from collections.abc import Sequence

from matplotlib.lines import Line2D

from cyclip_pl.reports.canvas import Plot, legend, panel_pages, plots, titled_panels, to_png
from cyclip_pl.reports.run_marks import run_colour, run_line
from cyclip_pl.reports.runs import Point, Run

NAME = "consistency"
NEEDS = "metrics of evaluation=[consistency]"

_K = re.compile(r"k([1-9]\d{0,8})")


def scores(run: Run, title: str) -> dict[int, Point]:
    """The consistency scores that a run has under a title, by k."""
    found = {
        int(match[1]): point
        for metric in run.metrics.get(title, {})
        if (match := _K.fullmatch(metric)) and (point := run.point(title, metric))
    }
    return dict(sorted(found.items()))


def draw(runs: Sequence[Run]) -> list[Plot]:
    """One panel per data set, one line per run."""
    parts = panel_pages(runs, lambda run, title: bool(scores(run, title)))
    return plots(
        NAME,
        "Consistency score against k",
        "Share of test images whose zero-shot prediction is the majority label of their k nearest "
        "labelled training images. Bars are 95 % intervals over test images.",
        (_png(runs, shown) for shown in parts),
    )


def _png(runs: Sequence[Run], shown: Sequence[str]) -> bytes:
    figure, titled = titled_panels(shown)
    used = [n for n, run in enumerate(runs) if any(scores(run, title) for title in shown)]
    for axes, title in titled:
        axes.set_xscale("log")
        axes.grid(axis="y")
        ks = sorted({k for run in runs for k in scores(run, title)})
        axes.set_xticks(ks, [str(k) for k in ks])
        axes.minorticks_off()
        for place, number in enumerate(used):
            if not (points := scores(runs[number], title)):
                continue
            # Side by side, so that intervals do not cover one another.
            aside = 1.03 ** (place - (len(used) - 1) / 2)
            for k, point in points.items():
                ends = [100 * point.low, 100 * point.high]
                axes.plot([aside * k] * 2, ends, lw=1, color=run_colour(number))
            values = [100 * point.value for point in points.values()]
            axes.plot([aside * k for k in points], values, **run_line(number))
    figure.supxlabel("nearest training images k")
    figure.supylabel("consistency (%)")
    legend(figure, {runs[n].name: Line2D([], [], **run_line(n)) for n in used})
    return to_png(figure)
