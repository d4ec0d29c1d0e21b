"""Collectives with exact gradients; the only user of `torch.distributed` here.

Each differentiable collective returns the same value on every rank and back-propagates the
gradient of the *sum* of the ranks' losses. When every rank computes the same global loss, the
mean over ranks that DDP and FSDP take of each parameter's gradient is then exactly the gradient
that one process would have, learnable scalars included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

_alone: ContextVar[bool] = ContextVar("alone", default=False)


@contextmanager
def alone() -> Iterator[None]:
    """Inside, this rank is one process of its own: no collective takes place.

    For what every rank computes of the same rows.
    """
    token = _alone.set(True)
    try:
        yield
    finally:
        _alone.reset(token)


def _grouped() -> bool:
    return dist.is_available() and dist.is_initialized() and not _alone.get()


def world_size() -> int:
    return dist.get_world_size() if _grouped() else 1


def rank() -> int:
    return dist.get_rank() if _grouped() else 0


class _SumOverRanks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.contiguous().clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        total = grads[0].contiguous().clone()
        dist.all_reduce(total)
        return total


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        parts = [
            torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(world_size())
        ]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        # A sum, then one's own rows: reduce-scatter, in the form that gloo has as well.
        total = grads[0].contiguous().clone()
        dist.all_reduce(total)
        return total.chunk(world_size())[rank()]


class _FromNextRank(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return from_ahead(x, 1)()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return from_ahead(grads[0], -1)()


def sum_over_ranks(x: Tensor) -> Tensor:
    """Elementwise sum of every rank's `x` (any shape, equal on all ranks), differentiable."""
    return _SumOverRanks.apply(x) if world_size() > 1 else x


def gather(x: Tensor) -> Tensor:
    """Rows of all ranks in rank order: (N, ...) -> (W·N, ...), differentiable.

    Every rank brings the same number of rows.
    """
    return _Gather.apply(x) if world_size() > 1 else x


def gather_rows(x: Tensor) -> Tensor:
    """Rows of all ranks in rank order: (n, ...) -> (N, ...), on the device of `x`.

    Ranks may bring different numbers of rows, or none. Not differentiable.
    """
    if world_size() == 1:
        return x
    return torch.cat([x[:0], *(block.to(x.device) for block in rows_of_all(x))])


def rows_of_all(x: Tensor, size: int | None = None) -> Iterator[Tensor]:
    """Every rank's rows, at most `size` at a time, in rank order: the same blocks on all ranks.

    Besides its own rows a rank holds one block, which may be read, not written. Blocks lie on the
    device that the group's backend uses. Ranks may bring different numbers of rows, or none. Not
    differentiable.
    """
    device = x.device
    if world_size() > 1:
        device = torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")
    count = torch.tensor([len(x)], device=device)
    counts = [len(x)] if world_size() == 1 else gather(count).tolist()
    for source, rows in enumerate(counts):
        for start in range(0, rows, size or max(rows, 1)):
            stop = min(start + (size or rows), rows)
            if source == rank():
                block = x[start:stop].to(device).contiguous()
            else:
                block = torch.empty(stop - start, *x.shape[1:], dtype=x.dtype, device=device)
            if len(counts) > 1:
                dist.broadcast(block, source)
            yield block


def objects_of_all(x: Any) -> list[Any]:
    """Every rank's `x` in rank order; it must pickle, and tensors must lie on the CPU."""
    found = [x] * world_size()
    if len(found) > 1:
        dist.all_gather_object(found, x)
    return found


def from_next_rank(x: Tensor) -> Tensor:
    """The next rank's `x` (the last one's next is the first), differentiable.

    Called again and again it brings every rank's rows past this one, and no rank ever holds more
    than its own and one other's.
    """
    return _FromNextRank.apply(x) if world_size() > 1 else x


def from_ahead(x: Tensor, hops: int) -> Callable[[], Tensor]:
    """Start to fetch the `x` of the rank `hops` ahead (behind, if negative); call to have it.

    For use inside autograd functions: it has no gradient of its own. Between start and call `x`
    may be read, not written.
    """
    if hops % world_size() == 0:
        return lambda: x
    x = x.contiguous()
    received = torch.empty_like(x)
    transfers = dist.batch_isend_irecv(
        [
            dist.P2POp(dist.isend, x, (rank() - hops) % world_size()),
            dist.P2POp(dist.irecv, received, (rank() + hops) % world_size()),
        ]
    )

    def wait() -> Tensor:
        for transfer in transfers:
            transfer.wait()
        return received

    return wait


def passing_by(x: Tensor, steps: int) -> Iterator[Tensor]:
    """One's own `x`, then that of the rank ahead, …, of `steps` ahead; not differentiable.

    The next one's is under way while the caller uses the last, which may be read, not written.
    """
    for step in range(steps + 1):
        coming = from_ahead(x, int(step < steps))
        yield x
        x = coming()


def onward(x: Tensor, step: int, steps: int) -> Tensor:
    """What travels with `passing_by`'s blocks, written at every step and brought home at the last.

    Called after each of the steps 0, …, `steps`: hands `x` on with its block, or to the block's
    owner.
    """
    return from_ahead(x, 1 if step < steps else -steps)()
