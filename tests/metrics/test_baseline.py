from __future__ import annotations

import math
import random

import pytest

from cyclip_pl.metrics.baseline import Baseline, fit_baseline


def logit(x: float) -> float:
    return math.log(x / (1 - x))


def naive_line(points: list[tuple[float, float]]) -> tuple[float, float]:
    """The normal equations, by Cramer's rule."""
    n = len(points)
    sx = sy = sxx = sxy = 0.0
    for x, y in points:
        sx, sy, sxx, sxy = sx + x, sy + y, sxx + x * x, sxy + x * y
    determinant = n * sxx - sx * sx
    return (n * sxy - sx * sy) / determinant, (sxx * sy - sx * sxy) / determinant


@pytest.mark.parametrize("scale", ["linear", "logit"])
def test_the_line_is_that_of_the_normal_equations(scale: str) -> None:
    draw = random.Random(0)
    points = [(draw.uniform(0.05, 0.95), draw.uniform(0.05, 0.95)) for _ in range(17)]
    transformed = [(logit(x), logit(y)) for x, y in points] if scale == "logit" else points
    slope, intercept = naive_line(transformed)
    line = fit_baseline(points, scale)
    assert (line.slope, line.intercept) == pytest.approx((slope, intercept), rel=1e-10)
    expected = slope * 0.3 + intercept
    if scale == "logit":
        expected = 1 / (1 + math.exp(-(slope * logit(0.3) + intercept)))
    assert line(0.3) == pytest.approx(expected, rel=1e-10)


def test_the_authors_line() -> None:
    # CyCLIP's plot for ImageNetV2, in percent: 1.2 x - 9.
    line = Baseline(1.2, -0.09)
    assert 100 * line(0.2208) == pytest.approx(1.2 * 22.08 - 9)


@pytest.mark.parametrize(
    ("points", "scale", "message"),
    [
        ([], "linear", "^a baseline needs two models .*; got 0 points"),
        ([(0.5, 0.4)], "linear", "^a baseline needs two models .*; got 1 points"),
        ([(0.5, 0.4), (0.5, 0.3)], "linear", "different in-distribution accuracy; got 2 points"),
        ([(50.0, 40.0), (60.0, 45.0)], "linear", r"as fractions; got \(50.0, 40.0\)$"),
        ([(0.5, 0.0), (0.6, 0.4)], "logit", r"above 0 and below 1; got \(0.5, 0.0\)$"),
        ([(0.5, math.nan), (0.6, 0.4)], "linear", "as fractions"),
        ([(0.5, 0.4), (0.6, 0.4)], "probit", "^a baseline's scale is one of linear, logit; got"),
    ],
)
def test_lines_that_cannot_be_fitted(
    points: list[tuple[float, float]], scale: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        fit_baseline(points, scale)
