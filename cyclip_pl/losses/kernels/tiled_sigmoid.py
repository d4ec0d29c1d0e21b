"""The sigmoid loss of all negatives, value and gradients in one pass over the tiles."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import softplus

from cyclip_pl.distributed import onward, passing_by, sum_over_ranks, world_size
from cyclip_pl.losses.kernels.tiles import negative_tiles, product


class SigmoidNegatives(torch.autograd.Function):
    """x (n, D), y (n, D), s, b → Σ softplus(s·⟨x_j,y_k⟩ + b) over all j ≠ k of all ranks.

    A score's gradient needs nothing but the score, so that the rows' gradients are made forward,
    unless `gradients` says that nobody wants them. Once differentiable.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, y: Tensor, scale: Tensor, bias: Tensor, gradients: bool
    ) -> Tensor:
        total, slopes = x.new_zeros(()), x.new_zeros(())
        x_grads, y_grads = torch.zeros_like(x), torch.zeros_like(y)
        steps = world_size() - 1
        for step, block in enumerate(passing_by(y, steps)):
            for rows, columns, tile in negative_tiles(x, block, scale, len(x), own=step == 0):
                tile += bias
                # Beyond the threshold softplus is the identity to float64's last digit.
                total += softplus(tile, threshold=40).sum()
                if gradients:
                    tile.sigmoid_()
                    slopes += tile.sum()
                    x_grads[rows] += product(tile, block[columns].T)
                    y_grads[columns] += product(tile.T, x[rows].T)
            if gradients:
                y_grads = onward(y_grads, step, steps)
        if gradients:
            scale_grad = (x * x_grads).sum().to(scale.dtype)
            ctx.save_for_backward(
                x_grads.mul_(scale), y_grads.mul_(scale), scale_grad, slopes.to(bias.dtype)
            )
        return sum_over_ranks(total)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        # Every rank's loss is made of this one total.
        grad = sum_over_ranks(grads[0])
        return *(grad * x for x in ctx.saved_tensors), None
