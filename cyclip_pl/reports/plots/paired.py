"""Differences from the first run with paired intervals, per data set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cyclip_pl.reports.canvas import GREY, legend, pages, panels, short
from cyclip_pl.reports.paired import Paired
from cyclip_pl.reports.paired_table import paired_differences
from cyclip_pl.reports.run_marks import run_colour, run_marker
from cyclip_pl.reports.runs import Run, of_title

NAME = "differences"
TITLE = "Differences from the first run"
CAPTION = (
    "A run's metric minus that of the first run, in percentage points, with its 95 % interval: a "
    "paired bootstrap over the images that both have seen. An interval that leaves out 0 is more "
    "than the choice of test images explains."
)
NEEDS = "details with the hits of single images: run eval.py on two runs with the same sets"

_PANELS = 6  # in one plot


def draw(runs: Sequence[Run]) -> Iterator[Figure]:
    """One panel per metric, one row per data set, one point per run but the first."""
    by_metric: dict[tuple[str, str], dict[str, list[Paired | None]]] = {}
    for title, metrics in paired_differences(runs).items():
        dataset, evaluation = of_title(title)
        for metric, of_runs in metrics.items():
            by_metric.setdefault((evaluation, metric), {})[dataset] = of_runs
    for shown in pages(list(by_metric), _PANELS):
        most = max(len(by_metric[key]) for key in shown)
        height = 0.7 + most * max(0.3, 0.14 * (len(runs) - 1))
        figure, all_axes = panels(len(shown), min(2, len(shown)), height=height)
        for axes, key in zip(all_axes, shown, strict=True):
            axes.set_title(" · ".join(key))
            axes.grid(axis="x")
            axes.axvline(0, color=GREY, lw=1)
            for row, of_runs in enumerate(by_metric[key].values()):
                for place, pair in enumerate(of_runs):
                    if pair is None:
                        continue
                    y = row + (place - (len(of_runs) - 1) / 2) * 0.7 / len(of_runs)
                    axes.plot(
                        [100 * pair.low, 100 * pair.high],
                        [y, y],
                        color=run_colour(place + 1),
                        lw=1.2,
                    )
                    axes.plot(100 * pair.value, y, **run_marker(place + 1))
            sets = [short(dataset, 24) for dataset in by_metric[key]]
            axes.set_yticks(range(len(sets)), sets)
            axes.set_ylim(len(sets) - 0.5, -0.5)
            axes.tick_params(axis="y", length=0)
        figure.supxlabel(f"percentage points above {short(runs[0].name)}")
        legend(
            figure,
            {run.name: Line2D([], [], **run_marker(n)) for n, run in enumerate(runs) if n},
        )
        yield figure
