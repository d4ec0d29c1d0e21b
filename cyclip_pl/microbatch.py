"""A batch beyond memory: embedded piece by piece, and again piece by piece for its gradients.

The first pass keeps the embeddings and no graph, the objective sees all of them at once, and the
second pass takes each piece's share of their gradient through the parts (GradCache, Gao et al.,
arXiv 2101.06983). To autograd it is one node whose inputs are the parameters: each receives its
gradient once, in the one backward there is, so that what acts on gradients (DDP, a loss scale,
clipping) need not know of it.
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

from cyclip_pl.types import Batch, Embeddings


def embed_in_microbatches(
    embed: Callable[[Batch], Embeddings], parts: Sequence[nn.Module], batch: Batch, size: int
) -> Embeddings:
    """`embed(batch)`, while no more than `size` samples' activations are held at any time.

    Gradients are those of `embed(batch)`, up to rounding, where samples do not see each other; a
    BatchNorm normalises each piece by itself, as ranks that have a piece each would. Its running
    statistics move in the first pass alone. The second pass sees the random state, the autocast
    and the default dtype of the first.

    Args:
        embed: of nothing but `parts` and its argument; called twice for each piece.
        parts: the modules whose parameters it uses.
        batch: cut by `Batch.split`.
        size: samples a piece, at most.
    """
    parameters = [p for part in parts for p in part.parameters() if p.requires_grad]
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
        first = 0
        with ctx.surroundings.random_again(), _statistics_kept(ctx.parts):
            for piece in ctx.pieces:
                last = first + len(piece)
                cached = [None if g is None else g[:, first:last] for g in gradients]
                first = last
                with torch.enable_grad(), ctx.surroundings.precision_again():
                    heads = _heads(ctx.embed(piece))
                for i, gradient in enumerate(_gradients(heads, cached, ctx.parameters)):
                    if gradient is not None:
                        sums[i] = _plus(sums[i], gradient)
        pairs = zip(sums, ctx.parameters, strict=True)
        return None, None, None, *(None if x is None else x.to(p.dtype) for x, p in pairs)


def _heads(rows: Embeddings) -> list[Tensor | None]:
    return [getattr(rows, field.name) for field in fields(rows)]


def _gradients(
    heads: Sequence[Tensor | None], cached: Sequence[Tensor | None], parameters: Sequence[Tensor]
) -> Sequence[Tensor | None]:
    """By parameter, None where no head depends on it."""
    # Of the heads that the objective looked at and that something learnable made.
    used = [
        (head, gradient)
        for head, gradient in zip(heads, cached, strict=True)
        if head is not None and head.requires_grad and gradient is not None
    ]
    if not used:
        return []
    outputs, gradients = zip(*used, strict=True)
    return torch.autograd.grad(outputs, parameters, gradients, allow_unused=True)


def _plus(total: Tensor | None, gradient: Tensor) -> Tensor:
    # In float32 at least: half precision would lose the later pieces. A copy of the first one:
    # autograd may give one tensor to two parameters.
    if total is None:
        dtype = torch.promote_types(gradient.dtype, torch.float32)
        return gradient.to(dtype, copy=True)
    return total.add_(gradient)


class _Surroundings:
    """What a forward on `device` depends on beside weights and inputs, as it is now."""

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
        """The same draws, in the same order; afterwards as if there had been none."""
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
    """BatchNorms in training normalise by their batch as before, and remember nothing of it."""
    # In evaluation mode, as a locked tower's are, they go on using what they remember.
    norms = [
        m
        for part in parts
        for m in part.modules()
        if isinstance(m, _BatchNorm) and m.training and m.track_running_stats
    ]
    try:
        for norm in norms:
            norm.track_running_stats = False
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
