"""Log-sum-exp over negatives without their scores: tiles forward, the same tiles again backward.

What is kept between the passes is one number a row and one a column. A tile serves its row and its
columns at once, so both directions cost one pass. Across ranks each keeps its own x while the
blocks y go round (the ring of Inf-CL, arXiv 2410.17243), forward with their columns' sums, backward
with their gradients: no rank holds more than its own rows and two others'. (Inf-CL's published code
takes a pass and a ring for each direction.)
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from cyclip_pl.distributed import onward, passing_by, world_size
from cyclip_pl.losses.kernels.precision import full_precision
from cyclip_pl.losses.kernels.tiles import negative_tiles, product


class NegativesBetween(torch.autograd.Function):
    """x (V·n, D), y (U·n, D), s, n, both ways? → LSE of s·x·yᵀ by row, (V·n,), and column, (U·n,).

    One way, the columns' are −∞ and cost nothing. Once differentiable.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, y: Tensor, scale: Tensor, samples: int, both_ways: bool
    ) -> tuple[Tensor, Tensor]:
        row_sums, column_sums = _nothing(x), _nothing(y)
        steps = world_size() - 1
        for step, block in enumerate(passing_by(y, steps)):
            for rows, columns, tile in negative_tiles(x, block, scale, samples, own=step == 0):
                _add(row_sums, rows, tile, 1)
                if both_ways:
                    _add(column_sums, columns, tile, 0)
            column_sums = onward(column_sums, step, steps)
        ctx.save_for_backward(x, y, scale, row_sums, column_sums)
        ctx.samples, ctx.both_ways = samples, both_ways
        return row_sums, column_sums

    @staticmethod
    @once_differentiable
    @full_precision
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, y, scale, row_sums, column_sums = ctx.saved_tensors
        row_facts = torch.stack([_finite(row_sums), grads[0]])
        # What a column must know travels with its block.
        column_facts = torch.stack([_finite(column_sums), grads[1]])
        x_grads, y_grads = torch.zeros_like(x), torch.zeros_like(y)
        steps = world_size() - 1
        passing = zip(passing_by(y, steps), passing_by(column_facts, steps), strict=True)
        for step, (block, facts) in enumerate(passing):
            for rows, columns, tile in negative_tiles(x, block, scale, ctx.samples, own=step == 0):
                weights = _weights(
                    tile, row_facts[:, rows], facts[:, columns] if ctx.both_ways else None
                )
                x_grads[rows] += product(weights, block[columns].T)
                y_grads[columns] += product(weights.T, x[rows].T)
            y_grads = onward(y_grads, step, steps)
        scale_grad = (x * x_grads).sum().to(scale.dtype)
        return x_grads.mul_(scale), y_grads.mul_(scale), scale_grad, None, None


class NegativesWithin(torch.autograd.Function):
    """x (V·n, D), s, n → log-sum-exp of s·x·xᵀ by row, (V·n,). Once differentiable.

    The scores are symmetric: every pair of blocks is scored once, here or on the other's rank. So a
    block goes half way round. Where half way is one rank for both, each takes its own rows.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, samples: int) -> Tensor:
        row_sums, column_sums = _nothing(x), _nothing(x)
        steps = world_size() // 2
        for step, block in enumerate(passing_by(x, steps)):
            own = step == 0
            for rows, columns, tile in negative_tiles(x, block, scale, samples, own, once=own):
                _add(row_sums, rows, tile, 1)
                if _other_half(step, rows, columns):
                    _add(row_sums if own else column_sums, columns, tile, 0)
            column_sums = onward(column_sums, step, steps)
        row_sums = torch.logaddexp(row_sums, column_sums)
        ctx.save_for_backward(x, scale, row_sums)
        ctx.samples = samples
        return row_sums

    @staticmethod
    @once_differentiable
    @full_precision
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, scale, row_sums = ctx.saved_tensors
        own_facts = torch.stack([_finite(row_sums), grads[0]])
        x_grads, block_grads = torch.zeros_like(x), torch.zeros_like(x)
        steps = world_size() // 2
        passing = zip(passing_by(x, steps), passing_by(own_facts, steps), strict=True)
        for step, (block, facts) in enumerate(passing):
            own = step == 0
            for rows, columns, tile in negative_tiles(x, block, scale, ctx.samples, own, once=own):
                other = facts[:, columns] if _other_half(step, rows, columns) else None
                weights = _weights(tile, own_facts[:, rows], other)
                x_grads[rows] += product(weights, block[columns].T)
                (x_grads if own else block_grads)[columns] += product(weights.T, x[rows].T)
            block_grads = onward(block_grads, step, steps)
        x_grads += block_grads
        # Each score stands in the gradient of its row and of its column.
        scale_grad = (x * x_grads).sum().to(scale.dtype) / 2
        return x_grads.mul_(scale), scale_grad, None


def _other_half(step: int, rows: slice, columns: slice) -> bool:
    """Whether nobody else scores the same pair of blocks the other way round."""
    return rows != columns if step == 0 else 2 * step != world_size()


def _nothing(x: Tensor) -> Tensor:
    return x.new_full((len(x),), -torch.inf)


def _finite(sums: Tensor) -> Tensor:
    """−∞, of no negatives at all, leaves no score a share, instead of −∞ − (−∞)."""
    return sums.clamp(min=torch.finfo(sums.dtype).min)


def _add(sums: Tensor, where: slice, tile: Tensor, dim: int) -> None:
    sums[where] = torch.logaddexp(sums[where], tile.logsumexp(dim))


def _weights(tile: Tensor, rows: Tensor, columns: Tensor | None) -> Tensor:
    """∂loss/∂score of a tile, which is overwritten; rows and columns (2, ·): LSE and gradient."""
    weights = (tile - rows[0, :, None]).exp_().mul_(rows[1, :, None])
    if columns is not None:
        weights.addcmul_(tile.sub_(columns[0]).exp_(), columns[1])
    return weights
