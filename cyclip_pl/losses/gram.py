"""‖G‖² and ⟨G,Gᵀ⟩ of G = (I + T)·(I − T)ᵀ, N×N, from three D×D sums over samples.

With S = I + T, E = I − T, P = SᵀS, Q = EᵀE and R = EᵀS: ‖G‖² = ⟨P,Q⟩ and ⟨G,Gᵀ⟩ = ⟨R,Rᵀ⟩. The
gradients need the same three and four products more, where autograd would take six:
∂‖G‖² = (2S·Q, 2E·P) and ∂⟨G,Gᵀ⟩ = (2E·Rᵀ, 2S·R) by S and E.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from cyclip_pl.distributed import sum_over_ranks
from cyclip_pl.losses.precision import full_precision
from cyclip_pl.losses.tiles import product, tile_size


class Gram(torch.autograd.Function):
    """image (n, D), text (n, D) of this rank → ‖G‖², ⟨G,Gᵀ⟩ of all. Once differentiable.

    No rank needs another's rows: 3·D² numbers are summed over the ranks forward, and two backward.
    """

    @staticmethod
    def forward(ctx: Any, image: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        width = image.shape[1]
        sums = image.new_zeros(3, width, width)
        for rows in _strips(image):
            total, error = (image[rows] + text[rows]).T, (image[rows] - text[rows]).T
            sums[0] += product(total, total)
            sums[1] += product(error, error)
            sums[2] += product(error, total)
        sums = sum_over_ranks(sums)
        ctx.save_for_backward(image, text, sums)
        p, q, r = sums
        return (p * q).sum(), (r * r.T).sum()

    @staticmethod
    @once_differentiable
    @full_precision
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        image, text, (p, q, r) = ctx.saved_tensors
        # Every rank's loss is made of these two.
        square, crossed = 2 * sum_over_ranks(torch.stack(grads))
        # (dS, dE) = (S, E)·[[square·Q, crossed·R], [crossed·Rᵀ, square·P]]; I and T have dS ± dE.
        by_total, by_error = square * q, crossed * r
        from_total = torch.cat([by_total + by_error, by_total - by_error], 1)
        by_total, by_error = crossed * r.T, square * p
        from_error = torch.cat([by_total + by_error, by_total - by_error], 1)
        turned = torch.cat([from_total, from_error]).T
        both = [
            product(torch.cat([image[rows] + text[rows], image[rows] - text[rows]], 1), turned)
            for rows in _strips(image)
        ]
        image_grad, text_grad = torch.cat(both).chunk(2, dim=1)
        return image_grad, text_grad


def _strips(x: Tensor) -> list[slice]:
    """Rows that stay in the caches: a product of all at once takes twice the time on a CPU."""
    size = tile_size(x)
    return [slice(start, start + size) for start in range(0, len(x), size)]
