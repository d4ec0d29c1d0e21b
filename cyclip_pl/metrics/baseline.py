"""The shifted accuracy that models of an in-distribution accuracy have: a line."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean

SCALES = ("linear", "logit")
"""Scales of accuracy in which a baseline is a line. CyCLIP's authors use the first; over a wide
range the logit scale fits better (Miller et al., arXiv 2107.04649)."""

_EDGE = 1e-6  # the logit of 0 and of 1 is infinite


@dataclass(frozen=True)
class Baseline:
    """The shifted accuracy expected of a model, from its in-distribution accuracy.

    Both are fractions: the line 1.2 x - 9 of percents has slope 1.2 and intercept -0.09. `scale` is
    one of `SCALES`.

    Raises:
        ValueError: The scale is unknown, or a number is not finite.
    """

    slope: float
    intercept: float
    scale: str = "linear"

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            raise ValueError(
                f"a baseline's scale is one of {', '.join(SCALES)}; got {self.scale!r}"
            )
        if not (math.isfinite(self.slope) and math.isfinite(self.intercept)):
            raise ValueError(f"a baseline needs finite numbers: {self.slope}, {self.intercept}")

    def __call__(self, accuracy: float) -> float:
        """In `linear` scale the line may leave [0, 1]; in `logit` it cannot."""
        if self.scale == "linear":
            return self.slope * accuracy + self.intercept
        inside = min(max(accuracy, _EDGE), 1 - _EDGE)
        return 1 / (1 + math.exp(-(self.slope * _logit(inside) + self.intercept)))


def fit_baseline(points: Iterable[tuple[float, float]], scale: str = "linear") -> Baseline:
    """The least-squares line through models' (in-distribution, shifted) accuracies, fractions.

    Raises:
        ValueError: Fewer than two models of different in-distribution accuracy, an accuracy
            outside [0, 1], 0 or 1 itself in the logit scale, or an unknown scale.
    """
    points = list(points)
    low, high = (0.0, 1.0) if scale == "linear" else (_EDGE, 1 - _EDGE)
    for point in points:
        if not all(low <= accuracy <= high for accuracy in point):
            raise ValueError(
                f"a {scale} baseline needs accuracies as fractions"
                f"{'' if scale == 'linear' else ' above 0 and below 1'}; got {point}"
            )
    if len({x for x, _ in points}) < 2:
        raise ValueError(
            "a baseline needs two models or more of different in-distribution accuracy; "
            f"got {len(points)} points: {points[:3]}"
        )
    if scale == "logit":
        points = [(_logit(x), _logit(y)) for x, y in points]
    mean_x, mean_y = map(fmean, zip(*points, strict=True))
    covariance = math.fsum((x - mean_x) * (y - mean_y) for x, y in points)
    slope = covariance / math.fsum((x - mean_x) ** 2 for x, _ in points)
    return Baseline(slope, mean_y - slope * mean_x, scale)


def _logit(x: float) -> float:
    return math.log(x / (1 - x))
