"""Collectives: values, and gradients of the sum of the ranks' losses."""

import pytest
import torch

from cyclip_pl import distributed
from tests.helpers.distributed import run_distributed

COLLECTIVES = (distributed.gather, distributed.sum_over_ranks, distributed.from_next_rank)


def _rows(rank: int) -> torch.Tensor:
    return torch.arange(6.0).view(2, 3) + 10 * rank


def _weights(rank: int, like: torch.Tensor) -> torch.Tensor:
    return (rank + 1) * torch.arange(1.0, like.numel() + 1).view_as(like)


def _on_rank():
    rank, results = distributed.rank(), []
    for collective in COLLECTIVES:
        x = _rows(rank).requires_grad_()
        y = collective(x)
        (y * _weights(rank, y)).sum().backward()
        results.append((y.detach(), x.grad))
    return results


@pytest.mark.slow
@pytest.mark.parametrize("world", [2, 3])
def test_collectives(world) -> None:
    inputs = [_rows(r).requires_grad_() for r in range(world)]
    everything = torch.cat(inputs)
    results = run_distributed(_on_rank, world)
    for number, expected in enumerate(
        (
            [everything for _ in inputs],
            [torch.stack(inputs).sum(0) for _ in inputs],
            [inputs[(r + 1) % world] for r in range(world)],
        )
    ):
        losses = [(y * _weights(r, y)).sum() for r, y in enumerate(expected)]
        gradients = torch.autograd.grad(sum(losses), inputs, retain_graph=True)
        for rank in range(world):
            value, gradient = results[rank][number]
            assert torch.equal(value, expected[rank])
            assert torch.equal(gradient, gradients[rank])


def test_alone_they_are_the_identity() -> None:
    x = _rows(0)
    assert all(torch.equal(collective(x), x) for collective in COLLECTIVES)
    assert (distributed.rank(), distributed.world_size()) == (0, 1)
    assert torch.equal(distributed.gather_rows(x), x) and distributed.objects_of_all(x) == [x]
    assert [block.tolist() for block in distributed.rows_of_all(x, 1)] == [[r] for r in x.tolist()]


def _uneven() -> tuple[torch.Tensor, list[list[int]], list[str]]:
    x = torch.arange([5, 0, 2][distributed.rank()]) + 10 * distributed.rank()
    blocks = [block.tolist() for block in distributed.rows_of_all(x, 2)]
    first = torch.full((2,), distributed.rank())
    distributed.overwrite_with_first(first)
    assert first.tolist() == [0, 0]
    objects = distributed.objects_of_all(f"of rank {distributed.rank()}")
    return distributed.gather_rows(x[:, None]), blocks, objects


@pytest.mark.slow
def test_ranks_of_different_sizes_see_the_same_blocks() -> None:
    for rows, blocks, objects in run_distributed(_uneven, 3):
        assert rows.squeeze(1).tolist() == [0, 1, 2, 3, 4, 20, 21]
        assert blocks == [[0, 1], [2, 3], [4], [20, 21]]
        assert objects == ["of rank 0", "of rank 1", "of rank 2"]


def _changes_its_process() -> tuple[bool, torch.dtype, int]:
    before = hasattr(distributed, "changed"), torch.get_default_dtype(), torch.initial_seed()
    distributed.changed = True
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(3)
    return before


@pytest.mark.slow
def test_ranks_of_a_test_know_nothing_of_the_last() -> None:
    assert run_distributed(_changes_its_process, 2) == run_distributed(_changes_its_process, 2)


def _fails_on_one_rank() -> None:
    if distributed.rank() == 1:
        raise ValueError("of rank 1")
    distributed.gather(torch.zeros(1))  # waits for it


@pytest.mark.slow
def test_the_exception_of_one_rank_ends_all() -> None:
    with pytest.raises(Exception, match="of rank 1"):
        run_distributed(_fails_on_one_rank, 2)


def _votes() -> list[int]:
    votes, mine = distributed.Votes(), distributed.rank()
    seen = [votes.of_last_call(number) for number in (0, 15 * mine, 0)]
    return [*seen, votes.now(0), votes.now(2 - mine)]


def test_votes_are_told_a_call_later_or_at_once() -> None:
    assert run_distributed(_votes, 2) == [[0, 0, 15, 0, 2]] * 2
