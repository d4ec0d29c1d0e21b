"""‖G‖² and ⟨G,Gᵀ⟩ of G = (I + T)·(I − T)ᵀ, N×N, from G itself: three matrix products in all.

Shape legend: n samples of this rank, N samples of all ranks, D width. S = I + T, E = I − T.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from cyclip_pl.losses.kernels.precision import full_precision
from cyclip_pl.losses.kernels.product import product


class Direct(torch.autograd.Function):
    """image (N, D), text (N, D) of one process → ‖G‖², ⟨G,Gᵀ⟩. Once differentiable.

    By S and E, the gradients are (W·E, Wᵀ·S), where W = 2G of ‖G‖² and 2Gᵀ of ⟨G,Gᵀ⟩.
    """

    @staticmethod
    def forward(ctx: Any, image_ND: Tensor, text_ND: Tensor) -> tuple[Tensor, Tensor]:
        total_ND, error_ND = image_ND + text_ND, image_ND - text_ND
        g_NN = product(total_ND, error_ND)
        ctx.save_for_backward(total_ND, error_ND, g_NN)
        ctx.set_materialize_grads(False)
        crossed_NN = _transposed(g_NN).mul_(g_NN)
        return g_NN.square().sum(), crossed_NN.sum()

    @staticmethod
    @once_differentiable
    @full_precision
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor, Tensor]:
        total_ND, error_ND, g_NN = ctx.saved_tensors
        square, crossed = (None if x is None else 2 * x for x in grads)
        if crossed is None:
            weight_NN = g_NN * square
        else:
            weight_NN = g_NN.T * crossed
            if square is not None:
                weight_NN.addcmul_(g_NN, square)
        return _by_rows(weight_NN, total_ND, error_ND)


class DirectPenalty(torch.autograd.Function):
    """image (N, D), text (N, D) of one process → a·‖G‖² + b·⟨G,Gᵀ⟩, ‖G‖², ⟨G,Gᵀ⟩.

    The last two without gradient. That of the first is computed in the forward pass, if `gradients`
    asks for it: small batches cost operations more than arithmetic. Once differentiable.
    """

    @staticmethod
    def forward(
        ctx: Any, image_ND: Tensor, text_ND: Tensor, a: float, b: float, gradients: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        total_ND, error_ND = image_ND + text_ND, image_ND - text_ND
        g_NN = product(total_ND, error_ND)
        transposed_NN = _transposed(g_NN)
        square, crossed = g_NN.square().sum(), (g_NN * transposed_NN).sum()
        if gradients:
            weight_NN = g_NN.mul_(2 * a)
            if b:
                weight_NN.add_(transposed_NN, alpha=2 * b)
            ctx.save_for_backward(*_by_rows(weight_NN, total_ND, error_ND))
        ctx.mark_non_differentiable(square, crossed)
        return a * square + b * crossed, square, crossed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return *(grads[0] * x for x in ctx.saved_tensors), None, None, None


def _transposed(g_NN: Tensor) -> Tensor:
    """A copy, read in order: products and sums with a transposed view take 3 × the time."""
    return g_NN.T.contiguous()


def _by_rows(weight_NN: Tensor, total_ND: Tensor, error_ND: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients by image and text, of W·E by S and Wᵀ·S by E."""
    by_total_ND = product(weight_NN, error_ND.T)
    by_error_ND = product(weight_NN.T, total_ND.T)
    return by_total_ND + by_error_ND, by_total_ND.sub_(by_error_ND)
