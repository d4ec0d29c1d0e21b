"""Accuracy on shifted sets against the in-distribution accuracy, with the baseline line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from cyclip_pl.reports.canvas import GREY, short
from cyclip_pl.reports.run_files import number
from cyclip_pl.reports.runs import Point, Run, of_title
from cyclip_pl.reports.scatter import keep_fractions, scatters

NAME = "robustness"
TITLE = "Robustness under natural distribution shift"
CAPTION = (
    "Zero-shot accuracy on shifted sets against accuracy on the in-distribution set. Lines are "
    "95 % intervals over test images. Height above the dashed baseline, where the runs have "
    "one, is effective robustness."
)
NEEDS = "metrics of evaluation=[robustness]"

_STEEPEST = 1e6


@dataclass(frozen=True)
class Line:
    """The shifted accuracy that the baseline expects: a line, on a linear or a logit scale."""

    slope: float
    intercept: float
    scale: str

    def __call__(self, accuracy: np.ndarray) -> np.ndarray:
        """Fractions to fractions."""
        if self.scale == "linear":
            return self.slope * accuracy + self.intercept
        inside = accuracy.clip(1e-6, 1 - 1e-6)
        logit = self.slope * np.log(inside / (1 - inside)) + self.intercept
        return 1 / (1 + np.exp(-logit.clip(-700, 700)))


def in_distribution(run: Run, title: str) -> str | None:
    """The title of the in-distribution set: the one with the mean over the shifted sets."""
    evaluation = of_title(title)[1]
    for other, metrics in run.metrics.items():
        if other != title and of_title(other)[1] == evaluation and "mean_acc1" in metrics:
            return other
    return None


def point(run: Run, title: str) -> tuple[Point, Point] | None:
    """(in-distribution, shifted) accuracy, if the title is of a shifted set."""
    base = in_distribution(run, title)
    if base is None or "drop" not in run.metrics.get(title, {}):
        return None
    x, y = run.point(base, "acc1"), run.point(title, "acc1")
    return (x, y) if x and y else None


def baseline(run: Run, title: str) -> Line | None:
    """The line in a run's details, if there is one; ValueError if it is malformed."""
    if (found := run.detail(title, "protocol")) is None:
        return None
    where, protocol = found
    line = protocol.get("baseline") if isinstance(protocol, dict) else None
    if line is None:
        return None
    where = f"{where}.baseline"
    if not isinstance(line, dict) or line.get("scale") not in ("linear", "logit"):
        raise ValueError(f"{where} must have slope, intercept and a scale, linear or logit")
    slope, intercept = (number(line.get(k), f"{where}.{k}") for k in ("slope", "intercept"))
    if not max(abs(slope), abs(intercept)) < _STEEPEST:  # nan fails too
        raise ValueError(f"{where} is not a line of accuracies: {slope} x + {intercept}")
    return Line(slope, intercept, line["scale"])


def draw(runs: Sequence[Run]) -> Iterator[Figure]:
    """One panel per shifted set, one marker per run."""
    for figure, titled in scatters(runs, point):
        bases = set()
        for axes, title in titled:
            x = np.linspace(*axes.get_xlim(), 200)
            axes.set_xlim(x[0], x[-1])
            shown = [run for run in runs if point(run, title)]
            bases |= {in_distribution(run, title) or "" for run in shown}
            for line in {line for run in shown if (line := baseline(run, title))}:
                axes.plot(x, 100 * line(x / 100), color=GREY, lw=1, dashes=(4, 3), zorder=1)
            keep_fractions(axes)
        base = short(of_title(bases.pop())[0]) if len(bases) == 1 else "the in-distribution set"
        figure.supxlabel(f"accuracy on {base} (%)")
        figure.supylabel("accuracy on the shifted set (%)")
        yield figure
