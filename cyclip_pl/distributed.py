"""Collectives with exact gradients; the only user of `torch.distributed` here.

Each differentiable collective returns the same value on every rank and back-propagates the
gradient of the *sum* of the ranks' losses. When every rank computes the same global loss, the
mean over ranks that DDP and FSDP take of each parameter's gradient is then exactly the gradient
that one process would have, learnable scalars included.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

_alone: ContextVar[bool] = ContextVar("alone", default=False)


@contextmanager
def alone() -> Iterator[None]:
    """Inside this context collectives do nothing: this rank counts as a single process.

    For computations in which every rank holds the same rows.
    """
    token = _alone.set(True)
    try:
        yield
    finally:
        _alone.reset(token)


def _grouped() -> bool:
    return dist.is_available() and dist.is_initialized() and not _alone.get()


def world_size() -> int:
    """Number of ranks, 1 without a process group."""
    return dist.get_world_size() if _grouped() else 1


def rank() -> int:
    """This rank's number, 0 without a process group."""
    return dist.get_rank() if _grouped() else 0


def _total(x: Tensor) -> Tensor:
    total = x.contiguous().clone()
    dist.all_reduce(total)
    return total


class _SumOverRanks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _total(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return _total(grads[0])


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.contiguous()
        parts = [torch.empty_like(x) for _ in range(world_size())]
        dist.all_gather(parts, x)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        # The sum, then this rank's rows: a reduce-scatter in the form that gloo offers too.
        return _total(grads[0]).chunk(world_size())[rank()]


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
    """Rows of all W ranks in rank order, N on each: (N, ...) → (W·N, ...), differentiable."""
    return _Gather.apply(x) if world_size() > 1 else x


def gather_rows(x: Tensor) -> Tensor:
    """As `gather`, but ranks may bring different numbers of rows, or none; not differentiable."""
    if world_size() == 1:
        return x
    return torch.cat([x[:0], *(block.to(x.device) for block in rows_of_all(x))])


def rows_of_all(x: Tensor, size: int | None = None) -> Iterator[Tensor]:
    """Every rank's rows, at most `size` at a time, in rank order: the same blocks on all ranks.

    A rank holds its own rows and one block, which may be read, not written, on the device that the
    group's backend uses. Ranks may bring different numbers of rows, or none. Not differentiable.
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


def overwrite_with_first(x: Tensor) -> None:
    """Write the first rank's `x` into every rank's."""
    if world_size() > 1:
        dist.broadcast(x, 0)


def objects_of_all(x: Any) -> list[Any]:
    """Every rank's `x` in rank order; it must pickle, and tensors must lie on the CPU."""
    found = [x] * world_size()
    if len(found) > 1:
        dist.all_gather_object(found, x)
    return found


def word_of_torchruns_first(key: str, word: str | None) -> str:
    """What rank 0 says by `key`, to all processes of torchrun, before they are a group.

    Rank 0 gives the word, the others None.
    """
    store = dist.TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
    # A restart of the processes starts over, with the same store.
    key = f"cyclip_pl/{os.environ['TORCHELASTIC_RESTART_COUNT']}/{key}"
    if word is not None:
        store.set(key, word)
    return store.get(key).decode()


def from_next_rank(x: Tensor) -> Tensor:
    """The next rank's `x` (the first rank follows the last), differentiable."""
    return _FromNextRank.apply(x) if world_size() > 1 else x


def from_ahead(x: Tensor, hops: int) -> Callable[[], Tensor]:
    """Start to fetch the `x` of the rank `hops` ahead (behind, if negative).

    Returns a function that waits for the fetched tensor; until it is called, `x` may be read but
    not written. For use inside autograd functions: it has no gradient.
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
    """Yield this rank's `x`, then the `x` of the next `steps` ranks in order; not differentiable.

    The next block is fetched while the caller uses the current one, which may be read but not
    written.
    """
    for step in range(steps + 1):
        coming = from_ahead(x, int(step < steps))
        yield x
        x = coming()


def onward(x: Tensor, step: int, steps: int) -> Tensor:
    """Pass on what belongs to the current block of `passing_by`, and at the end to its owner.

    Call it after each of the steps 0, …, `steps`; between the calls `x` may be written.
    """
    return from_ahead(x, 1 if step < steps else -steps)()


class Votes:
    """The largest of all ranks' numbers; of its own group, so that no other collective meets it.

    All ranks make the same calls in the same order.

    Args:
        timeout: How long the others may take; None for torch's own.
    """

    def __init__(self, timeout: timedelta | None = None) -> None:
        self._group: Any = dist.new_group(backend="gloo", timeout=timeout)
        self._cast = torch.zeros(1, dtype=torch.int64)
        self._work: Any = None

    def of_last_call(self, number: int) -> int:
        """Vote, and return the result of the call before: by now it is there without waiting."""
        before = self._wait()
        self._cast = torch.tensor([number])
        self._work = dist.all_reduce(self._cast, dist.ReduceOp.MAX, self._group, async_op=True)
        return before

    def now(self, number: int) -> int:
        """The result of this call, or of the one before if that is larger."""
        return max(self._wait(), self.of_last_call(number), self._wait())

    def _wait(self) -> int:
        if self._work is not None:
            self._work.wait()
            self._work = None
        return int(self._cast)
