"""Fine-grained against coarse-grained accuracy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matplotlib.figure import Figure

from cyclip_pl.reports.runs import Point, Run
from cyclip_pl.reports.scatter import scatters

NAME = "hierarchy"
TITLE = "Fine against coarse accuracy"
CAPTION = (
    "Vertical: zero-shot top-1 accuracy among the classes of the true superclass. Horizontal: "
    "top-1 accuracy over superclasses. Lines are 95 % intervals over test images."
)
NEEDS = "metrics of evaluation=[hierarchy]"


def point(run: Run, title: str) -> tuple[Point, Point] | None:
    """(coarse, fine) top-1 accuracy."""
    coarse, fine = run.point(title, "coarse_acc1"), run.point(title, "fine_acc1")
    return (coarse, fine) if coarse and fine else None


def draw(runs: Sequence[Run]) -> Iterator[Figure]:
    """One panel per data set, one marker per run."""
    for figure, _ in scatters(runs, point):
        figure.supxlabel("coarse-grained accuracy (%)")
        figure.supylabel("fine-grained accuracy (%)")
        yield figure
