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
        # A transposed copy is read in order; the product with a transposed view takes 3 × the time.
        crossed_NN = g_NN.T.contiguous().mul_(g_NN)
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
        by_total_ND = product(weight_NN, error_ND.T)
        by_error_ND = product(weight_NN.T, total_ND.T)
        return by_total_ND + by_error_ND, by_total_ND.sub_(by_error_ND)
