"""Accuracy under shift beyond what the accuracy without it lets one expect.

    effective_robustness:
      in_distribution: emoji_unseen_pictures
      shifted: [emoji_line, emoji_mono]
      line: {study: data_size, cells: [clip 12.5, clip 25, clip 50, clip 100]}

The line is fitted to the zero-shot accuracies of the named cells' runs by least squares, for each
shifted set. What a run lies above it is its effective robustness (Taori et al., arXiv 2007.00644).
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import linear_regression
from typing import Any

from studies.values import Values

ACCURACY, EFFECTIVE = "zero_shot/acc1", "robustness/effective_robustness"


def with_effective_robustness(found: Values, line: Values, wanted: Mapping[str, Any]) -> Values:
    """`found` with `<set>/robustness/effective_robustness`, if all cells of the line have runs.

    Args:
        found: The runs to judge.
        line: The runs that the line goes through; those of `wanted["line"]["cells"]`.
        wanted: As above.
    """
    expected = f"{wanted['in_distribution']}/{ACCURACY}"
    through = {cell: line[cell] for cell in wanted["line"]["cells"] if cell in line}
    made = {cell: dict(metrics) for cell, metrics in found.items()}
    for shifted in wanted["shifted"]:
        points = _points(through, expected, f"{shifted}/{ACCURACY}")
        of_line = [point for by_seed in points.values() for point in by_seed.values()]
        if len(points) < len(wanted["line"]["cells"]):  # runs of one cell differ by chance alone
            continue
        slope, intercept = linear_regression(*zip(*of_line, strict=True))
        for cell, by_seed in _points(found, expected, f"{shifted}/{ACCURACY}").items():
            made[cell][f"{shifted}/{EFFECTIVE}"] = {
                seed: y - (slope * x + intercept) for seed, (x, y) in by_seed.items()
            }
    return made


def _points(found: Values, x: str, y: str) -> dict[str, dict[int, tuple[float, float]]]:
    """Two metrics by cell and seed."""
    return {
        cell: {seed: (metrics[x][seed], metrics[y][seed]) for seed in metrics[x]}
        for cell, metrics in found.items()
        if x in metrics and y in metrics
    }
