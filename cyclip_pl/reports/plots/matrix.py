"""Similarity matrices of a few pairs, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.figure import Figure

from cyclip_pl.reports.grid import grids
from cyclip_pl.reports.run_files import number
from cyclip_pl.reports.runs import Run

NAME = "matrix"
TITLE = "Similarity matrices"
CAPTION = (
    "Cosines of a few images (rows) with their texts (columns), the same pairs in all runs: "
    "captions, or class names with one image of each class. The true pairs are on the diagonal. "
    "All matrices of a plot share one scale."
)
NEEDS = "details of evaluation=[geometry]"

_MOST = 100


def matrix(run: Run, title: str) -> np.ndarray | None:
    """Cosines (P, P) in a run's details, if there are any; ValueError if they are malformed."""
    if (found := run.detail(title, "matrix")) is None:
        return None
    where, content = found
    rows = content.get("cosine") if isinstance(content, dict) else None
    if not isinstance(rows, list) or not 0 < len(rows) <= _MOST:
        raise ValueError(f"{where}.cosine must have 1 to {_MOST} rows")
    if not all(isinstance(row, list) and len(row) == len(rows) for row in rows):
        raise ValueError(f"{where}.cosine must have as many columns as rows")
    cosines = np.array([[number(x, f"{where}.cosine") for x in row] for row in rows])
    if not (abs(cosines) < 1.01).all():
        raise ValueError(f"{where}.cosine must have cosines")
    return cosines


def draw(runs: Sequence[Run]) -> Iterator[Figure]:
    """One column per data set, one row per run."""
    for figure, cells in grids(runs, matrix, height=1.8):
        found = [cosines for _, cosines in cells if cosines is not None]
        low, high = min(c.min() for c in found), max(c.max() for c in found)
        shown = None
        for axes, cosines in cells:
            axes.set_xticks([])
            axes.set_yticks([])
            if cosines is not None:
                shown = axes.imshow(cosines, cmap="viridis", vmin=low, vmax=high)
        if shown is not None:
            figure.colorbar(
                shown, ax=[axes for axes, _ in cells], shrink=0.5, label="cosine", aspect=30
            )
        yield figure
