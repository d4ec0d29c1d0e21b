"""The sigmoid loss of all pairs: value and gradients in a single pass over tiles of scores.

Shape legend: n samples of this rank, r and c rows and columns of one tile, D width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from cyclip_pl.distributed import onward, passing_by, sum_over_ranks, world_size
from cyclip_pl.losses.kernels.product import add_product, product
from cyclip_pl.losses.kernels.tiles import score_tiles, tile_size

# log σ and, from the same exponential, its derivative.
_log_sigmoid = torch.ops.aten.log_sigmoid_forward
_log_sigmoid_backward = torch.ops.aten.log_sigmoid_backward


class SigmoidPairs(torch.autograd.Function):
    """x (n, D), y (n, D), s, b → −(1/N) Σ log σ(z_jk·(s·⟨x_j,y_k⟩ + b)), j and k of all ranks.

    z is 1 for j = k and −1 elsewhere. The gradient of a score depends on that score alone. So the
    gradients of the rows are computed in the forward pass, if `gradients` asks for them. Once
    differentiable.
    """

    @staticmethod
    def forward(
        ctx: Any, x_nD: Tensor, y_nD: Tensor, scale: Tensor, bias: Tensor, gradients: bool
    ) -> Tensor:
        ranks = world_size()
        mean = scale.new_full((), 1 / (len(x_nD) * ranks), dtype=x_nD.dtype)
        one_tile = ranks == 1 and len(x_nD) <= tile_size(x_nD)
        sums = (_one_tile if one_tile else _tiles)(x_nD, y_nD, scale, bias, mean, gradients)
        if gradients:
            x_grad_nD, y_grad_nD, bias_grad = sums[1:]
            scale_grad = (x_nD * x_grad_nD).sum().to(scale.dtype)
            rows_grads = x_grad_nD.mul_(scale), y_grad_nD.mul_(scale)
            ctx.save_for_backward(*rows_grads, scale_grad, bias_grad.to(bias.dtype))
        return sum_over_ranks(sums[0]).neg_().mul_(mean)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        # The loss of each rank is made of this one total.
        grad = sum_over_ranks(grads[0])
        return *(grad * x for x in ctx.saved_tensors), None


def _one_tile(
    x_nD: Tensor, y_nD: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, gradients: bool
) -> tuple[Tensor, ...]:
    """As `_tiles`, where all scores are one tile: nothing to add up, which small batches feel."""
    scores_nn = product(x_nD * scale, y_nD)
    total, weight_nn = _of_tile(scores_nn, scores_nn.diagonal(), bias, mean)
    if not gradients:
        return (total,)
    rows_grads = product(weight_nn, y_nD.T), product(weight_nn.T, x_nD.T)
    return total, *rows_grads, weight_nn.sum()


def _tiles(
    x_nD: Tensor, y_nD: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, gradients: bool
) -> tuple[Tensor, ...]:
    """Σ log σ of this rank's rows, and the gradients of the loss by s·x, s·y and b, if wanted."""
    total, bias_grad = x_nD.new_zeros(()), x_nD.new_zeros(())
    x_grad_nD, y_grad_nD = torch.zeros_like(x_nD), torch.zeros_like(y_nD)
    steps = world_size() - 1
    for step, block_nD in enumerate(passing_by(y_nD, steps)):
        for rows, columns, tile_rc, true in score_tiles(
            x_nD, block_nD, scale, len(x_nD), step == 0
        ):
            part, weight_rc = _of_tile(tile_rc, true, bias, mean)
            total += part
            if gradients:
                bias_grad += weight_rc.sum()
                add_product(x_grad_nD[rows], weight_rc, block_nD[columns].T)
                add_product(y_grad_nD[columns], weight_rc.T, x_nD[rows].T)
        if gradients:
            y_grad_nD = onward(y_grad_nD, step, steps)
    return total, x_grad_nD, y_grad_nD, bias_grad


def _of_tile(
    score_rc: Tensor, true: Tensor | None, bias: Tensor, mean: Tensor
) -> tuple[Tensor, Tensor]:
    """Σ log σ(z·(score + b)) of a tile, which is overwritten, and the loss's gradient by score."""
    score_rc.add_(bias).neg_()
    if true is not None:
        true.neg_()
    log_rc, buffer = _log_sigmoid(score_rc)
    # In place of the logarithms, which have been summed.
    total = log_rc.sum()
    weight_rc = _log_sigmoid_backward.grad_input(
        mean.expand_as(score_rc), score_rc, buffer, grad_input=log_rc
    )
    if true is not None:
        weight_rc.diagonal().neg_()
    return total, weight_rc
