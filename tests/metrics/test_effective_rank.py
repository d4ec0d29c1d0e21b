from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from cyclip_pl.metrics.effective_rank import EffectiveRank
from tests.helpers.formulas import unit_rows


def naive_effective_rank(x: Tensor) -> float:
    """By the singular values themselves."""
    values = torch.linalg.svd(x)[1].tolist()
    shares = [v / sum(values) for v in values]
    return math.exp(-sum(p * math.log(p) for p in shares if p > 0))


def effective_rank(x: Tensor, size: int = 1024) -> float:
    rank = EffectiveRank(x.shape[1])
    for row in x.split(size):
        rank.update(row)
    return rank.compute().item()


@pytest.mark.parametrize("size", [2, 7, 1024])
@pytest.mark.parametrize("shape", [(3, 8), (8, 8), (50, 4), (300, 64)])
def test_equals_the_singular_values(shape: tuple[int, int], size: int) -> None:
    x = unit_rows(*shape, seed=5)[0]
    assert effective_rank(x, size) == pytest.approx(naive_effective_rank(x), rel=1e-10)
    orthonormal = torch.linalg.qr(torch.randn(max(shape), min(shape)).double())[0]
    assert effective_rank(orthonormal, size) == pytest.approx(min(shape), rel=1e-10)


@pytest.mark.parametrize("rank", [1, 3, 20])
def test_directions_that_are_not_used_count_nothing(rank: int) -> None:
    few, mixture = unit_rows(rank, 32, seed=6)[0], unit_rows(200, rank, seed=7)[0]
    x = mixture @ few
    expected = math.exp(_entropy(torch.linalg.svdvals(x)[:rank]))
    assert effective_rank(x) == pytest.approx(expected, rel=1e-9)
    # The rounding of float32 does not count as a direction.
    assert effective_rank(x.float()) == pytest.approx(expected, rel=1e-5)


def _entropy(singular: Tensor) -> float:
    return torch.special.entr(singular / singular.sum()).sum().item()


@pytest.mark.parametrize(("smallest", "error"), [(1e-4, 1e-9), (1e-6, 1e-6), (1e-10, 1e-4)])
def test_the_error_of_small_singular_values_is_that_of_the_docstring(
    smallest: float, error: float
) -> None:
    # Half of the directions have the smallest singular value.
    q, _ = torch.linalg.qr(
        torch.randn(500, 64, generator=torch.Generator().manual_seed(8)).double()
    )
    w, _ = torch.linalg.qr(torch.randn(64, 64, generator=torch.Generator().manual_seed(9)).double())
    singular = torch.ones(64).double()
    singular[32:] = smallest
    expected = math.exp(_entropy(singular))
    assert effective_rank(q * singular @ w, 100) == pytest.approx(expected, rel=error)
