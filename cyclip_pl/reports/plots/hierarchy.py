"""Fine-grained against coarse-grained accuracy."""

from __future__ import annotations

from collections.abc import Sequence

from cyclip_pl.reports.canvas import (
    PANELS,
    Plot,
    draw_point,
    keep_fractions,
    legend,
    numbered,
    pages,
    panel_titles,
    panels,
    run_marker,
    to_png,
)
from cyclip_pl.reports.runs import Point, Run, titles

NAME = "hierarchy"
NEEDS = "figures of evaluation=[hierarchy]"


def point(run: Run, title: str) -> tuple[Point, Point] | None:
    """(coarse, fine) top-1 accuracy."""
    coarse, fine = run.point(title, "coarse_top1"), run.point(title, "fine_top1")
    return (coarse, fine) if coarse and fine else None


def draw(runs: Sequence[Run]) -> list[Plot]:
    """A panel a data set, a marker a run."""
    parts = pages(titles(runs, lambda run, title: point(run, title) is not None), PANELS)
    return [
        Plot(
            numbered(NAME, number, len(parts)),
            "Fine against coarse accuracy",
            "Zero-shot top-1 accuracy among the classes of the true superclass, against that over "
            "superclasses; lines are 95 % intervals over test images.",
            _picture(runs, shown),
        )
        for number, shown in enumerate(parts)
    ]


def _picture(runs: Sequence[Run], shown: Sequence[str]) -> bytes:
    from matplotlib.lines import Line2D

    figure, all_axes = panels(len(shown))
    used = set()
    for axes, title, name in zip(all_axes, shown, panel_titles(shown), strict=True):
        axes.set_title(name)
        axes.grid()
        axes.margins(0.15)
        for number, run in enumerate(runs):
            if found := point(run, title):
                draw_point(axes, *found, number)
                used.add(number)
        keep_fractions(axes)
    figure.supxlabel("coarse-grained accuracy (%)")
    figure.supylabel("fine-grained accuracy (%)")
    legend(figure, {runs[n].name: Line2D([], [], **run_marker(n)) for n in sorted(used)})
    return to_png(figure)
