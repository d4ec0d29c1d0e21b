"""Both modalities on the two main axes of their common space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cyclip_pl.reports.canvas import (
    GREY,
    IMAGES,
    TEXTS,
    Plot,
    by_run,
    legend,
    numbered,
    run_rows,
    to_png,
)
from cyclip_pl.reports.files import number
from cyclip_pl.reports.runs import Run

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

NAME = "pca"
NEEDS = "details of evaluation=[geometry]"

_POINTS = 10_000


@dataclass(frozen=True)
class Projection:
    """Images (N, 2) and texts (M, 2), float64; `share` of the variance on either axis, (2,)."""

    image: np.ndarray
    text: np.ndarray
    share: np.ndarray


def projection(run: Run, title: str) -> Projection | None:
    """What a run's details have under a title.

    Raises:
        ValueError: One line that names the file.
    """
    found = run.details(title)
    if found is None or "pca" not in found[1]:
        return None
    path, details = found
    where, pca = f"{path}: pca", details["pca"]
    if not isinstance(pca, dict):
        raise ValueError(f"{where} must have image, text and variance")
    image, text = (_pairs(pca.get(k), f"{where}.{k}") for k in ("image", "text"))
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


def draw(runs: Sequence[Run]) -> list[Plot]:
    """A column a data set, a row a run."""
    parts = by_run(runs, projection)
    return [
        Plot(
            numbered(NAME, place, len(parts)),
            "Both modalities in the common space",
            "Image and text embeddings on the first two principal axes of both together. Axes and "
            "scales are each run's own: only shapes compare.",
            _picture(rows, shown),
        )
        for place, (rows, shown) in enumerate(parts)
    ]


def _picture(rows: dict[str, dict[str, Projection]], shown: Sequence[str]) -> bytes:
    figure, cells = run_rows(rows, shown, height=2.2)
    for axes, found in cells:
        axes.set_aspect("equal", adjustable="datalim")
        axes.set_xticks([])
        axes.set_yticks([])
        if found:
            _scatter(axes, found)
            axes.set_xlabel(f"{100 * found.share.sum():.0f} % of variance", color=GREY, fontsize=8)
    legend(figure, _handles())
    return to_png(figure)


_MARKS = {"image": ("o", IMAGES), "text": ("^", TEXTS)}


def _scatter(axes: Axes, found: Projection) -> None:
    for modality, (marker, colour) in _MARKS.items():
        points = getattr(found, modality)
        axes.scatter(points[:, 0], points[:, 1], s=7, marker=marker, color=colour, alpha=0.5, lw=0)


def _handles() -> dict[str, Artist]:
    from matplotlib.lines import Line2D

    return {
        f"{modality}s": Line2D([], [], linestyle="none", marker=marker, color=colour)
        for modality, (marker, colour) in _MARKS.items()
    }
