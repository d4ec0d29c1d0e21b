"""Images and texts on the two main axes of their common space."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cyclip_pl.reports.canvas import GREY, legend
from cyclip_pl.reports.grid import grids
from cyclip_pl.reports.run_files import number
from cyclip_pl.reports.run_marks import IMAGES, TEXTS
from cyclip_pl.reports.runs import Run

NAME = "pca"
TITLE = "Both modalities in the common space"
CAPTION = (
    "Image and text embeddings on the first two principal axes of both together. Each run has "
    "its own axes and scales: compare shapes only."
)
NEEDS = "details of evaluation=[geometry]"

_POINTS = 10_000
_MARKS = {"image": ("o", IMAGES), "text": ("^", TEXTS)}


@dataclass(frozen=True)
class Projection:
    """Points of `image` (N, 2) and `text` (M, 2), and each axis's share of the variance (2,)."""

    image: np.ndarray
    text: np.ndarray
    share: np.ndarray


def projection(run: Run, title: str) -> Projection | None:
    """The projection in a run's details, if there is one; ValueError if it is malformed."""
    if (found := run.detail(title, "pca")) is None:
        return None
    where, pca = found
    if not isinstance(pca, dict):
        raise ValueError(f"{where} must have image, text and variance")
    image, text = (_pairs(pca.get(k), f"{where}.{k}") for k in _MARKS)
    return Projection(image, text, _pairs([pca.get("variance")], f"{where}.variance")[0])


def _pairs(rows: object, where: str) -> np.ndarray:
    if not isinstance(rows, list) or len(rows) > _POINTS:
        raise ValueError(f"{where} must be a list of at most {_POINTS:,} points")
    if not all(isinstance(row, list) and len(row) == 2 for row in rows):
        raise ValueError(f"{where} must have pairs of numbers")
    pairs = np.array([[number(x, where) for x in row] for row in rows]).reshape(-1, 2)
    if not (abs(pairs) < 1e6).all():
        raise ValueError(f"{where} must have finite numbers of at most a million")
    return pairs


def draw(runs: Sequence[Run]) -> Iterator[Figure]:
    """One column per data set, one row per run."""
    for figure, cells in grids(runs, projection, height=2.2):
        for axes, found in cells:
            axes.set_aspect("equal", adjustable="datalim")
            axes.set_xticks([])
            axes.set_yticks([])
            if found is None:
                continue
            for modality, (marker, colour) in _MARKS.items():
                x, y = getattr(found, modality).T
                axes.scatter(x, y, s=7, marker=marker, color=colour, alpha=0.5, lw=0)
            axes.set_xlabel(f"{100 * found.share.sum():.0f} % of variance", color=GREY, fontsize=8)
        handles = {
            f"{modality}s": Line2D([], [], linestyle="none", marker=marker, color=colour)
            for modality, (marker, colour) in _MARKS.items()
        }
        legend(figure, handles)
        yield figure
