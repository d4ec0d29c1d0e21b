"""The contrastive loss from all scores at once: value and gradients in a single pass.

Shape legend: N samples of this process, D width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import logsigmoid

from cyclip_pl.losses.kernels.dense_negatives import exponentials
from cyclip_pl.losses.kernels.product import product


class ContrastivePairs(torch.autograd.Function):
    """x (N, D), y (N, D) of one process, s → the mean of softplus(lse − s·⟨x_j,y_j⟩) both ways.

    lse is the log-sum-exp of the negatives. The gradients of the rows are computed in the forward
    pass, if `gradients` asks for them: small batches cost operations more than arithmetic. Once
    differentiable.
    """

    @staticmethod
    def forward(ctx: Any, x_ND: Tensor, y_ND: Tensor, scale: Tensor, gradients: bool) -> Tensor:
        scores_NN = product(x_ND * scale, y_ND)
        true_N = scores_NN.diagonal()
        positive_N = true_N.clone()
        true_N.fill_(-torch.inf)
        by_y_N, exp_y_NN, sum_y_1N = exponentials(scores_NN, 0, torch.empty_like(scores_NN))
        by_x_N, exp_x_NN, sum_x_N1 = exponentials(scores_NN, 1, scores_NN)
        margin_2N = positive_N - torch.stack([by_x_N, by_y_N])
        if gradients:
            # By log-sum-exp; that of a positive is minus the sum of both ways.
            grad_2N = torch.sigmoid(-margin_2N).div_(margin_2N.numel())
            weight_NN = exp_x_NN.mul_(grad_2N[0, :, None] / sum_x_N1)
            weight_NN.addcmul_(exp_y_NN, grad_2N[1] / sum_y_1N)
            weight_NN.diagonal().sub_(grad_2N.sum(0))
            x_grad_ND = product(weight_NN, y_ND.T)
            y_grad_ND = product(weight_NN.T, x_ND.T)
            scale_grad = (x_ND * x_grad_ND).sum().to(scale.dtype)
            ctx.save_for_backward(x_grad_ND.mul_(scale), y_grad_ND.mul_(scale), scale_grad)
        return logsigmoid(margin_2N).mean().neg_()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return *(grads[0] * x for x in ctx.saved_tensors), None
