"""A batch that exceeds the memory: embedded in pieces, twice (GradCache, arXiv 2101.06983).

The first pass keeps the embeddings and no graph. The objective sees all embeddings at once. The
second pass back-propagates each piece's share of their gradient through the parts. To autograd all
of this is one node whose inputs are the parameters. Each parameter gets its gradient once, in a
single backward, so DDP, loss scaling and clipping work as usual.

Where parameters are sharded, autograd sees whole ones, which come and go with each piece. Each
piece then has a backward of its own, in which every rank gets the sum of its shards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

from cyclip_pl.sharding import is_sharded
from cyclip_pl.types import Batch, Embeddings


def embed_in_microbatches(
    embed: Callable[[Batch], Embeddings], parts: Sequence[nn.Module], batch: Batch, size: int
) -> Embeddings:
    """`embed(batch)`, holding the activations of at most `size` samples at a time.

    Gradients equal those of `embed(batch)` up to rounding if samples do not see each other. A
    BatchNorm normalises each piece on its own, as if each rank had one piece. Its running
    statistics change in the first pass only. The second pass repeats the random state, the autocast
    and the default dtype of the first.

    Args:
        embed: Depends on its argument and the weights of `parts` only; called twice for each piece.
        size: Samples per piece, at most; see `Batch.split`.
    """
    parameters = [p for part in parts for p in part.parameters() if p.requires_grad]
    if any(is_sharded(part) for part in parts):
        # Autograd calls a node's backward only for an input that learns.
        sign = torch.zeros((), device=batch.images.device, requires_grad=bool(parameters))
        return Embeddings(*_InShardedPieces.apply(embed, parts, batch.split(size), sign))
    return Embeddings(*_InPieces.apply(embed, parts, batch.split(size), *parameters))


class _InPieces(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        embed: Callable[[Batch], Embeddings],
        parts: Sequence[nn.Module],
        pieces: list[Batch],
        *parameters: Tensor,
    ) -> tuple[Tensor | None, ...]:
        ctx.embed, ctx.parts, ctx.pieces, ctx.parameters = embed, parts, pieces, parameters
        ctx.surroundings = _Surroundings(pieces[0].images.device)
        ctx.set_materialize_grads(False)
        rows = [_heads(embed(piece)) for piece in pieces]
        heads = zip(*rows, strict=True)
        return tuple(None if head[0] is None else torch.cat(head, dim=1) for head in heads)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        sums: list[Tensor | None] = [None] * len(ctx.parameters)
        for outputs, cached in _second_pass(ctx, gradients):
            found = torch.autograd.grad(outputs, ctx.parameters, cached, allow_unused=True)
            for i, gradient in enumerate(found):
                if gradient is not None:
                    sums[i] = _plus(sums[i], gradient)
        pairs = zip(sums, ctx.parameters, strict=True)
        return None, None, None, *(None if x is None else x.to(p.dtype) for x, p in pairs)


class _InShardedPieces(_InPieces):
    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        for outputs, cached in _second_pass(ctx, gradients):
            torch.autograd.backward(outputs, cached)
        return None, None, None, None


def _second_pass(
    ctx: Any, gradients: Sequence[Tensor | None]
) -> Iterator[tuple[Sequence[Tensor], Sequence[Tensor]]]:
    """Each piece's heads that the objective used and that learn, and their gradients."""
    first = 0
    with ctx.surroundings.random_again(), _statistics_kept(ctx.parts):
        for piece in ctx.pieces:
            last = first + len(piece)
            cached = [None if g is None else g[:, first:last] for g in gradients]
            first = last
            with torch.enable_grad(), ctx.surroundings.precision_again():
                heads = _heads(ctx.embed(piece))
            used = [
                (head, gradient)
                for head, gradient in zip(heads, cached, strict=True)
                if head is not None and head.requires_grad and gradient is not None
            ]
            if used:
                outputs, of_outputs = zip(*used, strict=True)
                yield outputs, of_outputs


def _heads(rows: Embeddings) -> list[Tensor | None]:
    return [getattr(rows, field.name) for field in fields(rows)]


def _plus(total: Tensor | None, gradient: Tensor) -> Tensor:
    # In float32 at least: half precision would lose the later pieces. The first one is copied:
    # autograd may give one tensor to two parameters.
    if total is None:
        return gradient.to(torch.promote_types(gradient.dtype, torch.float32), copy=True)
    return total.add_(gradient)


class _Surroundings:
    """What a forward on `device` depends on besides weights and inputs, as it is now."""

    def __init__(self, device: torch.device) -> None:
        kind = device.type
        self.generators: list[Any] = [torch] if kind == "cpu" else [torch, getattr(torch, kind)]
        self.states = [g.get_rng_state() for g in self.generators]
        self.device_type = kind
        self.autocasts = torch.is_autocast_enabled(kind)
        self.autocast_dtype = torch.get_autocast_dtype(kind)
        self.default_dtype = torch.get_default_dtype()

    @contextmanager
    def random_again(self) -> Iterator[None]:
        """The same random numbers again; afterwards the generators are as before."""
        now = [g.get_rng_state() for g in self.generators]
        try:
            for generator, state in zip(self.generators, self.states, strict=True):
                generator.set_rng_state(state)
            yield
        finally:
            for generator, state in zip(self.generators, now, strict=True):
                generator.set_rng_state(state)

    @contextmanager
    def precision_again(self) -> Iterator[None]:
        now = torch.get_default_dtype()
        try:
            torch.set_default_dtype(self.default_dtype)
            with torch.autocast(self.device_type, self.autocast_dtype, self.autocasts):
                yield
        finally:
            torch.set_default_dtype(now)


@contextmanager
def _statistics_kept(parts: Sequence[nn.Module]) -> Iterator[None]:
    """BatchNorms in training mode normalise as before, but keep their running statistics."""
    norms = [m for part in parts for m in part.modules() if isinstance(m, _BatchNorm)]
    # Those in evaluation mode, as in a locked tower, use their running statistics anyway.
    norms = [m for m in norms if m.training and m.track_running_stats]
    try:
        for norm in norms:
            norm.track_running_stats = False
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
