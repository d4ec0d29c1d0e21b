"""What a training logged: loss, its terms, scale, gradient norm, learning rate, metrics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cyclip_pl.metric_kinds import kind_of
from cyclip_pl.reports.canvas import PANELS, legend, pages, panels, short
from cyclip_pl.reports.run_marks import run_colour, run_stroke
from cyclip_pl.reports.run_order import natural
from cyclip_pl.reports.runs import Run
from cyclip_pl.reports.training_log import Curve

NAME = "curves"
TITLE = "Training curves"
CAPTION = (
    "Against the step. Faint: as logged. Bold: a running mean over a tenth of the points. Metrics "
    "of evaluations during training are shown as they are."
)
NEEDS = "train.py with logger=csv, which is on by default, and a few logged steps"

_RATES = ("train/images_per_second", "train/data_wait")
_VALIDATION = "val/total"
_HEADINGS = {"total": "loss", _VALIDATION: "validation loss", "gradient_norm": "gradient norm"}
_ORDER = ("total", _VALIDATION)
_LAST = ("scale", "bias", "gradient_norm", "learning rate")
_POINTS = 1000  # of a line
_METRICS = 6  # of evaluations, at most


def curves(run: Run) -> dict[str, Curve]:
    """A run's curves by heading, those of two points or more."""
    found: dict[str, Curve] = {}
    for name, curve in run.log.items():
        group, _, rest = name.partition("/")
        if len(curve.step) < 2:
            continue
        if group == "train" and name not in _RATES:
            found[rest] = curve
        elif name == _VALIDATION:
            found[name] = curve
        elif group.startswith("lr-"):
            found.setdefault("learning rate", curve)
        elif rest.endswith(("/acc1", "_r1")):
            found[name] = curve
    return found


def draw(runs: Sequence[Run]) -> Iterator[Figure]:
    """One panel per curve, one line per run."""
    of_run = [curves(run) for run in runs]
    every = {name for found in of_run for name in found}
    own = sorted((name for name in every if name.count("/") < 2), key=_place)
    metrics = sorted((name for name in every if name.count("/") == 2), key=natural)
    metrics = metrics[: min(_METRICS, -len(own) % PANELS)]  # what is left of the last plot
    for shown in pages([*own, *metrics], PANELS):
        used = [n for n, found in enumerate(of_run) if found.keys() & set(shown)]
        figure, all_axes = panels(len(shown))
        for axes, name in zip(all_axes, shown, strict=True):
            heading = _HEADINGS.get(name, name.replace("_", " ") if "/" not in name else name)
            lines = [short(line, 26) for line in heading.replace("/", "\n", 1).split("\n")]
            axes.set_title("\n".join(lines))
            axes.grid(axis="y")
            axes.ticklabel_format(useOffset=False)
            for n in used:
                if name in of_run[n]:
                    _line(axes, of_run[n][name], n, name)
        figure.supxlabel("step")
        legend(figure, {runs[n].name: Line2D([], [], **run_stroke(n)) for n in used})
        yield figure


def smoothed(value: np.ndarray) -> np.ndarray:
    """The mean over a window of a tenth of the points around each, narrower at the ends."""
    half = len(value) // 20
    total = np.concatenate([[0.0], np.cumsum(value, dtype=np.float64)])
    place = np.arange(len(value))
    reach = np.minimum(half, np.minimum(place, len(value) - 1 - place))
    return (total[place + reach + 1] - total[place - reach]) / (2 * reach + 1)


def _line(axes: Axes, curve: Curve, run: int, name: str) -> None:
    metric = name.count("/") == 2
    factor = 100 if metric and kind_of(name.split("/")[2]).unit else 1
    value = factor * curve.value
    bold = value if metric or name == "learning rate" else smoothed(value)
    few = slice(None, None, -(-len(value) // _POINTS))
    if bold is not value:
        axes.plot(curve.step[few], value[few], color=run_colour(run), lw=0.6, alpha=0.35)
    axes.plot(curve.step[few], bold[few], **run_stroke(run), marker="." if metric else None)


def _place(name: str) -> tuple[int, int, str]:
    if name in _ORDER:
        return -1, _ORDER.index(name), name
    return (1, _LAST.index(name), name) if name in _LAST else (0, 0, name)
