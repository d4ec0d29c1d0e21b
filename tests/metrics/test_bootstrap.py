from __future__ import annotations

import numpy as np
import pytest

from cyclip_pl.metrics.bootstrap import interval, share_interval, shares


def naive(value: np.ndarray, weight: np.ndarray, resamples: int = 4000) -> tuple[float, float]:
    """Resample indices, one at a time; another generator."""
    generator = np.random.default_rng(5)
    means = []
    for _ in range(resamples):
        drawn = generator.integers(0, len(value), len(value))
        means.append(np.average(value[drawn], weights=weight[drawn]))
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


@pytest.mark.parametrize("kind", ["shares", "distinct", "weighted"])
def test_equals_resampling_of_indices(kind: str) -> None:
    generator = np.random.default_rng(0)
    value = generator.random(150)
    if kind == "shares":
        value = (value < 0.3).astype(float)
    weight = generator.integers(1, 9, 150).astype(float) if kind == "weighted" else np.ones(150)
    low, high = interval(value, weight)
    expected = naive(value, weight)
    width = expected[1] - expected[0]
    assert abs(low - expected[0]) < 0.1 * width and abs(high - expected[1]) < 0.1 * width
    if kind != "weighted":
        assert interval(value) == (low, high)


def test_covers_the_truth_as_often_as_it_says() -> None:
    # 95 % of 400 intervals of a share of 0.3 in 200: 5 standard deviations are 5.4 %.
    generator = np.random.default_rng(1)
    covered = 0
    for _ in range(400):
        low, high = interval(generator.random(200) < 0.3)
        covered += low <= 0.3 <= high
    assert covered / 400 == pytest.approx(0.95, abs=0.055)


def test_is_a_function_of_the_values_alone() -> None:
    value = np.random.default_rng(2).random(50)
    np.random.seed(1)
    state = np.random.get_state()[1].copy()
    first = interval(value)
    assert interval(value[::-1]) == pytest.approx(first, abs=1e-15)
    assert interval(value) == first
    assert (np.random.get_state()[1] == state).all()


def test_values_that_are_all_the_same_have_no_width() -> None:
    assert interval([1, 1, 1]) == (1, 1)
    assert interval([0.25]) == (0.25, 0.25)


@pytest.mark.parametrize(("hits", "total"), [(0, 1), (3, 3), (0, 7), (1, 50), (211, 1372)])
def test_counts_are_enough_for_the_interval_of_a_share(hits: int, total: int) -> None:
    hit_N = np.arange(total) < hits
    expected = interval(np.random.default_rng(0).permutation(hit_N))
    assert share_interval(hits, total) == expected
    found = shares({"x": hits}, total)
    assert list(found) == ["x", "x_low", "x_high"]
    assert list(found.values()) == [hits / total, *expected]
    assert shares({"x": hits}, total, intervals=False) == {"x": hits / total}
