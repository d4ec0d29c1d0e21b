"""The sigmoid loss of all pairs: value and gradients in a single pass over tiles of scores.

Shape legend: n samples of this rank, r and c rows and columns of one tile, D width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import softplus

from cyclip_pl.distributed import onward, passing_by, sum_over_ranks, world_size
from cyclip_pl.losses.kernels.product import add_product
from cyclip_pl.losses.kernels.tiles import score_tiles


class SigmoidPairs(torch.autograd.Function):
    """x (n, D), y (n, D), s, b → Σ softplus(−z_jk·(s·⟨x_j,y_k⟩ + b)) over all j, k of all ranks.

    z is 1 for j = k and −1 elsewhere. The gradient of a score depends on that score alone. So the
    gradients of the rows are computed in the forward pass, if `gradients` asks for them. Once
    differentiable.
    """

    @staticmethod
    def forward(
        ctx: Any, x_nD: Tensor, y_nD: Tensor, scale: Tensor, bias: Tensor, gradients: bool
    ) -> Tensor:
        total, bias_grad = x_nD.new_zeros(()), x_nD.new_zeros(())
        x_grad_nD, y_grad_nD = torch.zeros_like(x_nD), torch.zeros_like(y_nD)
        steps = world_size() - 1
        for step, block_nD in enumerate(passing_by(y_nD, steps)):
            for rows, columns, tile_rc, true in score_tiles(
                x_nD, block_nD, scale, len(x_nD), step == 0
            ):
                tile_rc += bias
                if true is not None:
                    true.neg_()
                # Above the threshold softplus is the identity to float64's last digit.
                total += softplus(tile_rc, threshold=40).sum()
                if gradients:
                    tile_rc.sigmoid_()
                    if true is not None:
                        true.neg_()
                    bias_grad += tile_rc.sum()
                    add_product(x_grad_nD[rows], tile_rc, block_nD[columns].T)
                    add_product(y_grad_nD[columns], tile_rc.T, x_nD[rows].T)
            if gradients:
                y_grad_nD = onward(y_grad_nD, step, steps)
        if gradients:
            scale_grad = (x_nD * x_grad_nD).sum().to(scale.dtype)
            rows_grads = x_grad_nD.mul_(scale), y_grad_nD.mul_(scale)
            ctx.save_for_backward(*rows_grads, scale_grad, bias_grad.to(bias.dtype))
        return sum_over_ranks(total)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        # The loss of each rank is made of this one total.
        grad = sum_over_ranks(grads[0])
        return *(grad * x for x in ctx.saved_tensors), None
