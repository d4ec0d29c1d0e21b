"""Fine-grained against coarse-grained accuracy."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.lines import Line2D

from cyclip_pl.reports.canvas import (
    Plot,
    keep_fractions,
    legend,
    panel_pages,
    plots,
    titled_panels,
    to_png,
)
from cyclip_pl.reports.run_marks import draw_point, run_marker
from cyclip_pl.reports.runs import Point, Run

NAME = "hierarchy"
NEEDS = "metrics of evaluation=[hierarchy]"


def point(run: Run, title: str) -> tuple[Point, Point] | None:
    """(coarse, fine) top-1 accuracy."""
    coarse, fine = run.point(title, "coarse_acc1"), run.point(title, "fine_acc1")
    return (coarse, fine) if coarse and fine else None


def draw(runs: Sequence[Run]) -> list[Plot]:
    """One panel per data set, one marker per run."""
    parts = panel_pages(runs, lambda run, title: point(run, title) is not None)
    return plots(
        NAME,
        "Fine against coarse accuracy",
        "Vertical: zero-shot top-1 accuracy among the classes of the true superclass. Horizontal: "
        "top-1 accuracy over superclasses. Lines are 95 % intervals over test images.",
        (_png(runs, shown) for shown in parts),
    )


def _png(runs: Sequence[Run], shown: Sequence[str]) -> bytes:
    figure, titled = titled_panels(shown)
    used = set()
    for axes, title in titled:
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
