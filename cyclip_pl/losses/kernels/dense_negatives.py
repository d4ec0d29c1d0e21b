"""Log-sum-exp over negatives from all scores at once: three matrix products with the gradient.

For the gradient the exponentials of the scores are kept, so that each is computed once.

Shape legend: R = V·n rows of this rank, C = U·N columns of all ranks, D width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from cyclip_pl.losses.kernels.precision import full_precision
from cyclip_pl.losses.kernels.product import product


class DenseNegatives(torch.autograd.Function):
    """x (V·n, D), y (U·N, D), s, n, first, both ways? → LSE of s·x·yᵀ by row, (V·n,), and column.

    Row k of a view of x and row first + k of a view of y are of one sample. One way, the columns
    are −∞ and cost nothing. Once differentiable.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x_RD: Tensor,
        y_CD: Tensor,
        scale: Tensor,
        samples: tuple[int, int],
        first: int,
        both_ways: bool,
    ) -> tuple[Tensor, Tensor]:
        scores_RC = product(x_RD * scale, y_CD)
        by_view = scores_RC.view(-1, samples[0], len(y_CD) // samples[1], samples[1])
        by_view.diagonal(first, 1, 3).fill_(-torch.inf)
        lse_C = y_CD.new_full((len(y_CD),), -torch.inf)
        of_columns: list[Tensor] = []
        if both_ways:
            lse_C, *of_columns = exponentials(scores_RC, 0, torch.empty_like(scores_RC))
        lse_R, *of_rows = exponentials(scores_RC, 1, scores_RC)
        ctx.save_for_backward(x_RD, y_CD, scale, *of_rows, *of_columns)
        return lse_R, lse_C

    @staticmethod
    @once_differentiable
    @full_precision
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x_RD, y_CD, scale, exp_RC, sum_R1, *of_columns = ctx.saved_tensors
        weight_RC = exp_RC * (grads[0][:, None] / sum_R1)
        if of_columns:
            weight_RC.addcmul_(of_columns[0], grads[1] / of_columns[1])
        x_grad_RD = product(weight_RC, y_CD.T)
        y_grad_CD = product(weight_RC.T, x_RD.T)
        scale_grad = (x_RD * x_grad_RD).sum().to(scale.dtype)
        return x_grad_RD.mul_(scale), y_grad_CD.mul_(scale), scale_grad, None, None, None


def exponentials(scores_RC: Tensor, dim: int, out: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Along `dim`: the log-sum-exp of the scores, e^{score − largest}, and their sum."""
    # The largest of no negatives is −∞, and −∞ − (−∞) is not a number.
    floor = torch.finfo(scores_RC.dtype)
    largest = scores_RC.amax(dim, keepdim=True).clamp_(min=floor.min)
    exp_RC = torch.sub(scores_RC, largest, out=out).exp_()
    sums = exp_RC.sum(dim, keepdim=True)
    lse = sums.log().add_(largest).squeeze(dim)
    return lse, exp_RC, sums.clamp_(min=floor.tiny)
