"""Log-sum-exp over negatives without holding their scores: tiles forward, again tiles backward.

Between the passes one number per row and per column is kept. A tile serves both its rows and its
columns, so both directions cost one pass. Across ranks each keeps its own x, and the blocks y go
round a ring (Inf-CL, arXiv 2410.17243): forward with the log-sum-exps of their columns, backward
with their gradients. A rank holds its own rows and those of two others. (Inf-CL's published code
takes one pass and one ring per direction.)

Shape legend: R = V·n rows of this rank, C = U·n columns of a block, r and c those of one tile,
D width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from cyclip_pl.distributed import onward, passing_by, world_size
from cyclip_pl.losses.kernels.precision import full_precision
from cyclip_pl.losses.kernels.product import add_product
from cyclip_pl.losses.kernels.tiles import negative_tiles


class NegativesBetween(torch.autograd.Function):
    """x (V·n, D), y (U·n, D), s, n, both ways? → LSE of s·x·yᵀ by row, (V·n,), and column, (U·n,).

    One way, the columns are −∞ and cost nothing. Once differentiable.
    """

    @staticmethod
    def forward(
        ctx: Any, x_RD: Tensor, y_CD: Tensor, scale: Tensor, samples: int, both_ways: bool
    ) -> tuple[Tensor, Tensor]:
        lse_R, lse_C = _nothing(x_RD), _nothing(y_CD)
        steps = world_size() - 1
        for step, block_CD in enumerate(passing_by(y_CD, steps)):
            for rows, columns, tile_rc in negative_tiles(x_RD, block_CD, scale, samples, step == 0):
                _add(lse_R, rows, tile_rc, 1)
                if both_ways:
                    _add(lse_C, columns, tile_rc, 0)
            lse_C = onward(lse_C, step, steps)
        ctx.save_for_backward(x_RD, y_CD, scale, lse_R, lse_C)
        ctx.samples, ctx.both_ways = samples, both_ways
        return lse_R, lse_C

    @staticmethod
    @once_differentiable
    @full_precision
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x_RD, y_CD, scale, lse_R, lse_C = ctx.saved_tensors
        # Each row and column has its LSE and the gradient of it; a column's travel with its block.
        own_2R = torch.stack([_finite(lse_R), grads[0]])
        own_2C = torch.stack([_finite(lse_C), grads[1]])
        x_grad_RD, y_grad_CD = torch.zeros_like(x_RD), torch.zeros_like(y_CD)
        steps = world_size() - 1
        passing = zip(passing_by(y_CD, steps), passing_by(own_2C, steps), strict=True)
        for step, (block_CD, of_2C) in enumerate(passing):
            for rows, columns, tile_rc in negative_tiles(
                x_RD, block_CD, scale, ctx.samples, step == 0
            ):
                of_2c = of_2C[:, columns] if ctx.both_ways else None
                weight_rc = _weights(tile_rc, own_2R[:, rows], of_2c)
                add_product(x_grad_RD[rows], weight_rc, block_CD[columns].T)
                add_product(y_grad_CD[columns], weight_rc.T, x_RD[rows].T)
            y_grad_CD = onward(y_grad_CD, step, steps)
        scale_grad = (x_RD * x_grad_RD).sum().to(scale.dtype)
        return x_grad_RD.mul_(scale), y_grad_CD.mul_(scale), scale_grad, None, None


class NegativesWithin(torch.autograd.Function):
    """x (V·n, D), s, n → log-sum-exp of s·x·xᵀ by row, (V·n,). Once differentiable.

    The scores are symmetric, so each pair of blocks is scored once, here or on the other's rank:
    a block goes half way round the ring. If half way is one rank for both, each takes its own rows.
    """

    @staticmethod
    def forward(ctx: Any, x_RD: Tensor, scale: Tensor, samples: int) -> Tensor:
        lse_R, lse_C = _nothing(x_RD), _nothing(x_RD)
        steps = world_size() // 2
        for step, block_CD in enumerate(passing_by(x_RD, steps)):
            own = step == 0
            for rows, columns, tile_rc in negative_tiles(x_RD, block_CD, scale, samples, own, own):
                _add(lse_R, rows, tile_rc, 1)
                if _other_half(step, rows, columns):
                    _add(lse_R if own else lse_C, columns, tile_rc, 0)
            lse_C = onward(lse_C, step, steps)
        lse_R = torch.logaddexp(lse_R, lse_C)
        ctx.save_for_backward(x_RD, scale, lse_R)
        ctx.samples = samples
        return lse_R

    @staticmethod
    @once_differentiable
    @full_precision
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x_RD, scale, lse_R = ctx.saved_tensors
        own_2R = torch.stack([_finite(lse_R), grads[0]])
        x_grad_RD, block_grad_CD = torch.zeros_like(x_RD), torch.zeros_like(x_RD)
        steps = world_size() // 2
        passing = zip(passing_by(x_RD, steps), passing_by(own_2R, steps), strict=True)
        for step, (block_CD, of_2C) in enumerate(passing):
            own = step == 0
            for rows, columns, tile_rc in negative_tiles(
                x_RD, block_CD, scale, ctx.samples, own, own
            ):
                of_2c = of_2C[:, columns] if _other_half(step, rows, columns) else None
                weight_rc = _weights(tile_rc, own_2R[:, rows], of_2c)
                add_product(x_grad_RD[rows], weight_rc, block_CD[columns].T)
                column_grad = x_grad_RD if own else block_grad_CD
                add_product(column_grad[columns], weight_rc.T, x_RD[rows].T)
            block_grad_CD = onward(block_grad_CD, step, steps)
        x_grad_RD += block_grad_CD
        # Each score is in the gradients of its row and of its column.
        scale_grad = (x_RD * x_grad_RD).sum().to(scale.dtype) / 2
        return x_grad_RD.mul_(scale), scale_grad, None


def _other_half(step: int, rows: slice, columns: slice) -> bool:
    """Whether this pair of blocks is scored here only, so that its columns count here too."""
    return rows != columns if step == 0 else 2 * step != world_size()


def _nothing(x_RD: Tensor) -> Tensor:
    return x_RD.new_full((len(x_RD),), -torch.inf)


def _finite(lse_R: Tensor) -> Tensor:
    """Replace −∞, the LSE of no negatives, since −∞ − (−∞) is not a number."""
    return lse_R.clamp(min=torch.finfo(lse_R.dtype).min)


def _add(lse_R: Tensor, where: slice, tile_rc: Tensor, dim: int) -> None:
    lse_R[where] = torch.logaddexp(lse_R[where], tile_rc.logsumexp(dim))


def _weights(tile_rc: Tensor, of_2r: Tensor, of_2c: Tensor | None) -> Tensor:
    """∂loss/∂score of a tile, which is overwritten; of its rows and columns LSE and gradient."""
    weight_rc = (tile_rc - of_2r[0, :, None]).exp_().mul_(of_2r[1, :, None])
    if of_2c is not None:
        weight_rc.addcmul_(tile_rc.sub_(of_2c[0]).exp_(), of_2c[1])
    return weight_rc
