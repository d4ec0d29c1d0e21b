from __future__ import annotations

import math
import random

import pytest

from cyclip_pl.evaluation.robustness import Baseline, fit_baseline, robustness


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


@pytest.mark.parametrize("scale", ["linear", "logit"])
def test_models_on_a_line_have_no_effective_robustness(scale: str) -> None:
    line = Baseline(0.9, -0.2, scale)
    points = [(x, line(x)) for x in (0.3, 0.5, 0.8)]
    fitted = fit_baseline(points, scale)
    for x, y in points:
        of_set = robustness(x, {"shifted": y}, {"shifted": fitted})["shifted"]
        assert of_set["effective_robustness"] == pytest.approx(0, abs=1e-12)


def test_the_authors_line() -> None:
    # CyCLIP's plot for ImageNetV2, in percent: 1.2 x - 9.
    line = Baseline(1.2, -0.09)
    assert 100 * line(0.2208) == pytest.approx(1.2 * 22.08 - 9)


def test_figures_by_hand() -> None:
    figures = robustness(0.8, {"a": 0.6, "b": 0.2}, {"a": Baseline(1, -0.1), "b": Baseline(0.5, 0)})
    assert figures["a"] == pytest.approx(
        {"accuracy": 0.6, "drop": 0.25, "effective_robustness": -0.1}
    )
    assert figures["b"] == pytest.approx(
        {"accuracy": 0.2, "drop": 0.75, "effective_robustness": -0.2}
    )
    assert figures["mean"] == pytest.approx(
        {"accuracy": 0.4, "drop": 0.5, "effective_robustness": -0.15}
    )


def test_without_all_baselines_there_is_no_mean_effective_robustness() -> None:
    figures = robustness(0.5, {"a": 0.5, "b": 0.5}, {"b": Baseline(1, 0)})
    assert "effective_robustness" not in figures["a"]
    assert figures["b"]["effective_robustness"] == 0
    assert figures["mean"] == {"accuracy": 0.5, "drop": 0}


def test_accuracies_at_the_edges() -> None:
    line = Baseline(1.0, 0.0, "logit")
    assert line(0.0) == pytest.approx(0, abs=1e-5) and line(1.0) == pytest.approx(1, abs=1e-5)
    assert math.isnan(robustness(0.0, {"a": 0.0})["a"]["drop"])


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


def test_what_cannot_be_a_baseline_or_a_suite() -> None:
    with pytest.raises(ValueError, match="^a baseline's scale is one of"):
        Baseline(1, 0, "log")
    with pytest.raises(ValueError, match="^a baseline needs finite numbers"):
        Baseline(math.nan, 0)
    with pytest.raises(ValueError, match="^robustness needs a shifted set$"):
        robustness(0.5, {})
