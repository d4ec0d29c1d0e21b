import random

import numpy as np
import pytest

from cyclip_pl.data.inspect.distribution import Distribution

SHARES = (0.0, 0.05, 0.5, 0.95, 1.0)


def of(values: list[int]) -> Distribution:
    found = Distribution()
    for value in values:
        found.add(value)
    return found


@pytest.mark.parametrize("number", [1, 2, 19, 20, 21, 1000])
def test_quantiles_are_those_of_numpy(number: int) -> None:
    rng = random.Random(number)
    values = [rng.randrange(500) for _ in range(number)]
    expected = np.quantile(values, SHARES, method="inverted_cdf").tolist()
    assert of(values).quantiles(*SHARES) == expected


def test_two_halves_are_the_whole() -> None:
    values = [3, 1, 4, 1, 5, 9, 2, 6]
    found = of(values[:3])
    found.merge(of(values[3:]))
    assert found == of(values)


def test_nothing_has_no_quantiles() -> None:
    assert Distribution().quantiles(0.5) == []
    assert Distribution().share_above(77) == 0


def test_the_share_above_a_limit_excludes_it() -> None:
    assert of([76, 77, 78, 79]).share_above(77) == 0.5


def test_large_numbers_keep_four_digits_and_small_ones_all() -> None:
    assert of([9_999, 123_456, 0]).quantiles(0, 0.5, 1) == [0, 9_999, 123_500]


def test_the_memory_is_bounded() -> None:
    found = of(list(range(0, 1 << 28, 9_973)))
    assert len(found.counts) < 60_000
