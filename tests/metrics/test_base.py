from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
from torch import Tensor

from cyclip_pl.metrics.base import ExactSums


class Sum(ExactSums):
    sums = {"x": 0}

    def update(self, x_N: Tensor) -> None:
        self.add("x", x_N, len(x_N))

    def compute(self) -> Tensor:
        return self.total("x")


def summed(x_N: Tensor, sizes: list[int]) -> float:
    metric = Sum()
    for part in x_N.split(sizes):
        metric.update(part)
    return metric.compute().item()


def test_no_order_changes_the_sum_and_it_is_right() -> None:
    generator = torch.Generator().manual_seed(0)
    x_N = torch.randn(1000, generator=generator).double()
    x_N *= 10.0 ** torch.randint(-9, 6, (1000,), generator=generator)
    total = summed(x_N, [1000])
    exact = float(sum(Fraction(x) for x in x_N.tolist()))
    assert total == pytest.approx(exact, rel=1e-15)
    for seed in range(20):
        order = torch.randperm(1000, generator=generator.manual_seed(seed))
        assert summed(x_N[order], [seed, 500, 500 - seed]) == total
    assert len({x_N[torch.randperm(1000)].cumsum(0)[-1].item() for _ in range(20)}) > 1


def test_the_error_of_a_term_is_2_to_the_minus_61() -> None:
    for term, expected in (
        (2.0**-61 * 0.999, 0.0),
        (2.0**-60, 2.0**-60),
        (2.0**-10 + 2.0**-60, 2.0**-10 + 2.0**-60),
        (2.0**33 - 2.0**-19, 2.0**33 - 2.0**-19),
    ):
        assert summed(torch.tensor([term, 0], dtype=torch.float64), [2]) == expected


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 2.0**33])
def test_what_cannot_be_summed_is_nan(bad: float) -> None:
    x_N = torch.ones(5).double()
    x_N[3] = bad
    assert math.isnan(summed(x_N, [2, 3]))
