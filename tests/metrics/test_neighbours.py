from __future__ import annotations

import math
import subprocess
import sys

import pytest
import torch

from cyclip_pl.metrics.neighbours import labels_of_nearest, majority, nearest
from tests.helpers.loops import naive_majority, naive_nearest


@pytest.mark.parametrize(("query_chunk", "train_chunk"), [(1, 1), (3, 7), (256, 16384)])
def test_equals_loops_whatever_the_chunks(query_chunk: int, train_chunk: int) -> None:
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(11, 5, generator=generator)
    train = torch.randn(40, 5, generator=generator) * torch.rand(40, 1, generator=generator) * 9
    for k in (1, 6, 40):
        cosines, rows = nearest(query, train, k, None, query_chunk, train_chunk)
        expected_cosines, expected_rows = naive_nearest(query, train, k)
        assert rows.tolist() == expected_rows
        assert cosines.tolist() == expected_cosines


@pytest.mark.parametrize("train_chunk", [1, 4, 5, 64])
def test_of_equal_cosines_the_lower_row_comes_first(train_chunk: int) -> None:
    # Few distinct directions, many rows of each, and lengths that must not matter.
    generator = torch.Generator().manual_seed(1)
    directions = torch.tensor([[1.0, 2, 3], [3, 1, -2], [-1, -2, -3], [0, 0, 0], [7, -1, 1]])
    train = directions[torch.randint(0, 5, (64,), generator=generator)]
    train = train * 2.0 ** torch.randint(-3, 4, (64, 1), generator=generator)
    for k in (1, 13, 64):
        _, rows = nearest(directions, train, k, None, 2, train_chunk)
        assert rows.tolist() == naive_nearest(directions, train, k)[1]


def test_equal_rows_tie_at_any_place_of_a_wide_product() -> None:
    generator = torch.Generator().manual_seed(2)
    row = torch.randn(1, 777, generator=generator)
    query = torch.randn(9, 777, generator=generator)
    cosines, rows = nearest(query, row.repeat(501, 1), 501, None, 4, 77)
    assert rows.tolist() == [list(range(501))] * 9
    assert (cosines == cosines[:, :1]).all()


def test_a_cosine_that_rounds_to_minus_zero_ties_with_zero() -> None:
    train = torch.tensor([[-1e-60, 1], [0, 1]], dtype=torch.float64)
    assert nearest(torch.tensor([[1.0, 0]]), train, 2)[1].tolist() == [[0, 1]]


def test_rows_that_are_not_finite_come_last_and_have_no_label() -> None:
    train = torch.eye(4)
    train[0, 0] = torch.nan
    train[2, 1] = torch.inf
    query = torch.stack([torch.ones(4), torch.full((4,), torch.nan)])
    cosines, rows = nearest(query, train, 4)
    assert rows.tolist() == [[1, 3, 0, 2], [0, 1, 2, 3]]
    assert cosines[0].tolist() == [0.5, 0.5, -math.inf, -math.inf]
    _, labels = labels_of_nearest(query, train, torch.tensor([5, 6, 7, 8]), 4)
    assert labels.tolist() == [[6, 8, -1, -1], [-1, -1, -1, -1]]


@pytest.mark.parametrize("k", [0, -1, 4])
def test_k_out_of_range_is_refused(k: int) -> None:
    with pytest.raises(ValueError, match=rf"^cannot take the {k} nearest of 3 training rows$"):
        nearest(torch.eye(3), torch.eye(3), k)


def test_majority_equals_loops_with_ties() -> None:
    generator = torch.Generator().manual_seed(3)
    labels = torch.randint(-1, 4, (400, 9), generator=generator)
    winners = majority(labels)
    for row, winner in zip(labels.tolist(), winners.tolist(), strict=True):
        assert winner == [naive_majority(row[: k + 1]) for k in range(9)]


def test_majority_drops_the_farthest_and_not_the_rarest() -> None:
    # 1 and 2 tie at two; without the farthest 2 leads, though 1 is the nearer.
    assert majority(torch.tensor([[1, 2, 2, 1]])).tolist() == [[1, 1, 2, 2]]


MEMORY = """
import resource, torch
from cyclip_pl.metrics.neighbours import nearest
torch.set_num_threads(1)
generator = torch.Generator().manual_seed(0)
N, M, D, k = 512, 100_000, 64, 30
query, train = (torch.randn(n, D, generator=generator) for n in (N, M))
nearest(query[:256], train[:64], 30)  # what the first call loads
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
nearest(query, train, k)
used = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
print(used, 16 * N * (D + 2 * k) + 16 * 16384 * D + 32 * 256 * 16384, 8 * N * M)
"""


@pytest.mark.slow
def test_memory_at_100_000_training_rows_is_that_of_the_docstring() -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True
    )
    used, formula, dense = map(int, done.stdout.split())
    assert used < formula < dense / 2
