"""Intervals over seeds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import ttest_1samp, ttest_rel
from studies import intervals


def test_a_mean_has_the_interval_of_the_t_test() -> None:
    values = [0.31, 0.34, 0.29, 0.35, 0.33]
    found = intervals.of(values)
    peer = ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found.value - found.half, found.value + found.half) == pytest.approx(peer)
    assert found.n == 5 and found.apart


def test_a_paired_difference_has_that_of_the_paired_test() -> None:
    ours, theirs = [0.31, 0.36, 0.29], [0.30, 0.34, 0.285]
    found = intervals.of_pairs(ours, theirs)
    peer = ttest_rel(ours, theirs)
    assert found.apart == (peer.pvalue < 0.05)
    bounds = (found.value - found.half, found.value + found.half)
    assert bounds == pytest.approx(peer.confidence_interval(0.95))


def test_one_value_has_no_interval() -> None:
    found = intervals.of([0.5])
    assert math.isnan(found.half) and not found.apart


def test_a_visible_difference_is_seen_in_four_of_five_studies() -> None:
    generator = np.random.default_rng(0)
    n, sd = 8, 0.02
    # The spread is known here, so its estimate is replaced by values that have it exactly.
    exact = np.array([-1, 1] * (n // 2)) * sd * math.sqrt((n - 1) / n)
    true = intervals.visible(list(exact))
    draws = generator.normal(true, sd, (4000, n))
    seen = np.mean([intervals.of(list(one)).apart for one in draws])
    assert seen == pytest.approx(intervals.POWER, abs=0.04)
