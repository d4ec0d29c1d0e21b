"""Consistency score against the number of neighbours."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cyclip_pl.reports.canvas import legend, titled_panels
from cyclip_pl.reports.run_marks import run_colour, run_line
from cyclip_pl.reports.runs import Point, Run

NAME = "consistency"
TITLE = "Consistency score against k"
CAPTION = (
    "Share of test images whose zero-shot prediction is the majority label of their k nearest "
    "labelled training images. Bars are 95 % intervals over test images."
)
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


def draw(runs: Sequence[Run]) -> Iterator[Figure]:
    """One panel per data set, one line per run."""
    for figure, titled in titled_panels(runs, scores):
        used = [n for n, run in enumerate(runs) if any(scores(run, title) for _, title in titled)]
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
                x = np.array(list(points)) * 1.03 ** (place - (len(used) - 1) / 2)
                value, low, high = 100 * np.array(list(points.values())).T
                axes.plot([x, x], [low, high], lw=1, color=run_colour(number))
                axes.plot(x, value, **run_line(number))
        figure.supxlabel("nearest training images k")
        figure.supylabel("consistency (%)")
        legend(figure, {runs[n].name: Line2D([], [], **run_line(n)) for n in used})
        yield figure
