"""Bars of how the two modalities lie to each other."""

from __future__ import annotations

from collections.abc import Sequence

from cyclip_pl.reports.canvas import (
    Plot,
    legend,
    numbered,
    pages,
    panel_titles,
    panels,
    run_bar,
    to_png,
)
from cyclip_pl.reports.runs import Run, titles

NAME = "geometry"
NEEDS = "figures of evaluation=[geometry]"

# Alignment and uniformity mean one thing with labels and another with captions: no common axis.
_PANELS = {
    "modality_gap": "modality gap",
    "in_modal_inconsistency": "in-modal inconsistency",
    "cross_modal_inconsistency": "cross-modal inconsistency",
    "image_effective_rank": "effective rank of images",
    "text_effective_rank": "effective rank of texts",
}
_SETS = 6


def _has(run: Run, title: str) -> bool:
    return any(run.point(title, figure) for figure in _PANELS)


def draw(runs: Sequence[Run]) -> list[Plot]:
    """A panel a figure, a bar a run, grouped by data set."""
    parts = pages(titles(runs, _has), _SETS)
    return [
        Plot(
            numbered(NAME, number, len(parts)),
            "Geometry of the modalities",
            "Distance of the modalities' means; the two consistency losses of the whole set, "
            "which grow with its size; effective dimensions of either modality.",
            _picture(runs, shown),
        )
        for number, shown in enumerate(parts)
    ]


def _picture(runs: Sequence[Run], shown: Sequence[str]) -> bytes:
    from matplotlib.patches import Patch

    used = [n for n, run in enumerate(runs) if any(_has(run, title) for title in shown)]
    bar = 0.8 / len(used)
    height = 0.5 + len(shown) * max(0.3, 0.1 * len(used))
    figure, all_axes = panels(len(_PANELS), height=height, sharey=True)
    for axes, (name, heading) in zip(all_axes, _PANELS.items(), strict=True):
        axes.set_title(heading)
        axes.grid(axis="x")
        for place, number in enumerate(used):
            points = [runs[number].point(title, name) for title in shown]
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
    return to_png(figure)
