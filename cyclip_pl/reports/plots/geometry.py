"""Bars that show how images and texts lie in their common space."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from cyclip_pl.reports.canvas import legend, pages, panel_titles, panels
from cyclip_pl.reports.run_marks import run_bar
from cyclip_pl.reports.runs import Run, titles

NAME = "geometry"
TITLE = "Geometry of the modalities"
CAPTION = (
    "The distance between the means of images and of texts; the two consistency losses of the "
    "whole set, which grow with its size; the effective dimensions of images and of texts."
)
NEEDS = "metrics of evaluation=[geometry]"

# Without alignment and uniformity: of labels and of captions they mean different things, and
# cannot share an axis.
_PANELS = {
    "modality_gap": "modality gap",
    "in_modal_inconsistency": "in-modal inconsistency",
    "cross_modal_inconsistency": "cross-modal inconsistency",
    "image_effective_rank": "effective rank of images",
    "text_effective_rank": "effective rank of texts",
}
_SETS = 6  # in one plot


def _has(run: Run, title: str) -> bool:
    return any(run.point(title, metric) for metric in _PANELS)


def draw(runs: Sequence[Run]) -> Iterator[Figure]:
    """One panel per metric, one bar per run, grouped by data set."""
    for shown in pages(titles(runs, _has), _SETS):
        used = [n for n, run in enumerate(runs) if any(_has(run, title) for title in shown)]
        bar = 0.8 / len(used)
        height = 0.5 + len(shown) * max(0.3, 0.1 * len(used))
        figure, all_axes = panels(len(_PANELS), height=height, sharey=True)
        for axes, (metric, heading) in zip(all_axes, _PANELS.items(), strict=True):
            axes.set_title(heading)
            axes.grid(axis="x")
            for place, number in enumerate(used):
                points = [runs[number].point(title, metric) for title in shown]
                axes.barh(
                    [y + (place - (len(used) - 1) / 2) * bar for y in range(len(shown))],
                    [point.value if point else 0 for point in points],
                    height=bar,
                    **run_bar(number),
                )
            axes.set_yticks(range(len(shown)), panel_titles(shown))
            axes.set_ylim(len(shown) - 0.5, -0.5)
            axes.tick_params(axis="y", length=0)
        legend(figure, {runs[n].name: Patch(**run_bar(n)) for n in used})
        yield figure
