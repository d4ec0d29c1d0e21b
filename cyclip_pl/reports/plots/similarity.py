"""Histograms of the cosines of true pairs and of all other pairs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from cyclip_pl.reports.canvas import GREY, legend
from cyclip_pl.reports.grid import grids
from cyclip_pl.reports.run_files import number
from cyclip_pl.reports.run_marks import TEXTS
from cyclip_pl.reports.runs import Run

NAME = "similarity"
TITLE = "Similarity of true pairs and of others"
CAPTION = (
    "Densities of the cosine of an image and a text: for true pairs, and for every other pair "
    "of the set."
)
NEEDS = "details of evaluation=[geometry]"

_BINS = 10_000


@dataclass(frozen=True)
class Histograms:
    """Densities of cosines, of area 1: `true` and all `other` pairs (B,); bin `edges` (B + 1,)."""

    edges: np.ndarray
    true: np.ndarray
    other: np.ndarray


def histograms(run: Run, title: str) -> Histograms | None:
    """The histograms in a run's details, if there are any; ValueError if they are malformed."""
    if (found := run.detail(title, "similarity")) is None:
        return None
    where, similarity = found
    if not isinstance(similarity, dict):
        raise ValueError(f"{where} must have low, high, true and other")
    low, high = (number(similarity.get(k), f"{where}.{k}") for k in ("low", "high"))
    if not -1e6 < low < high < 1e6:
        raise ValueError(f"{where} must go up from low to high; it has {low} and {high}")
    true, other = (_counts(similarity.get(k), f"{where}.{k}") for k in ("true", "other"))
    if len(true) != len(other):
        raise ValueError(f"{where} must have as many bins of true pairs as of others")
    edges, width = np.linspace(low, high, len(true) + 1), (high - low) / len(true)
    return Histograms(edges, *(count / (max(count.sum(), 1) * width) for count in (true, other)))


def _counts(values: object, where: str) -> np.ndarray:
    if not isinstance(values, list) or not 0 < len(values) <= _BINS:
        raise ValueError(f"{where} must be a list of at most {_BINS:,} counts")
    counts = np.array([number(value, where) for value in values])
    if not ((counts >= 0) & (counts < 1e18)).all():
        raise ValueError(f"{where} must have counts of 0 or more")
    return counts


def draw(runs: Sequence[Run]) -> Iterator[Figure]:
    """One column per data set, one row per run."""
    for figure, cells in grids(runs, histograms, height=1.35, sharex=True, sharey="col"):
        limits = _range([found for _, found in cells if found])
        for axes, found in cells:
            axes.set_xlim(limits)
            axes.set_yticks([])
            axes.spines["left"].set_visible(False)
            if found:
                axes.stairs(found.other, found.edges, fill=True, color=GREY, alpha=0.45)
                axes.stairs(found.true, found.edges, color=TEXTS, lw=1.5)
        figure.supxlabel("cosine of image and text")
        handles = {
            "true pairs": Line2D([], [], color=TEXTS, lw=1.5),
            "all other pairs": Patch(color=GREY, alpha=0.45, lw=0),
        }
        legend(figure, handles)
        yield figure


def _range(all_found: Sequence[Histograms]) -> tuple[float, float]:
    """Where any density is above 0, with some room."""
    ends = []
    for found in all_found:
        if len(used := np.flatnonzero(found.true + found.other)):
            ends += [found.edges[used[0]], found.edges[used[-1] + 1]]
    low, high = min(ends, default=-1.0), max(ends, default=1.0)
    room = 0.03 * (high - low)
    return low - room, high + room
