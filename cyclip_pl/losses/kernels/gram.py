"""‖G‖² and ⟨G,Gᵀ⟩ of G = (I + T)·(I − T)ᵀ, N×N, from three D×D sums over samples.

The sums are P, Q and R of `losses.consistency`. The backward pass uses the same three, and two
further products for each result that has a gradient: ∂‖G‖² = (2S·Q, 2E·P) and
∂⟨G,Gᵀ⟩ = (2E·Rᵀ, 2S·R) by S and E.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from cyclip_pl.distributed import sum_over_ranks
from cyclip_pl.losses.kernels.precision import full_precision
from cyclip_pl.losses.kernels.product import add_product, product
from cyclip_pl.losses.kernels.tiles import tile_size


class Gram(torch.autograd.Function):
    """image (n, D), text (n, D) of this rank → ‖G‖², ⟨G,Gᵀ⟩ of all. Once differentiable.

    No rank needs the rows of another. Summed over the ranks are 3·D² numbers forward, two backward.
    """

    @staticmethod
    def forward(ctx: Any, image: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        width = image.shape[1]
        half = width // 2
        sums = image.new_zeros(3, width, width)
        for rows in _strips(image):
            total = (image[rows] + text[rows]).T.contiguous()
            error = (image[rows] - text[rows]).T.contiguous()
            for square, x in zip(sums, (total, error), strict=False):
                # P and Q are symmetric, so three quarters of each are computed.
                add_product(square[:half], x[:half], x)
                add_product(square[half:, half:], x[half:], x[half:])
            add_product(sums[2], error, total)
        sums[:2, half:, :half] = sums[:2, :half, half:].mT
        sums = sum_over_ranks(sums)
        ctx.save_for_backward(image, text, sums)
        ctx.set_materialize_grads(False)
        p, q, r = sums
        return (p * q).sum(), (r * r.T).sum()

    @staticmethod
    @once_differentiable
    @full_precision
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor, Tensor]:
        image, text, (p, q, r) = ctx.saved_tensors
        # The loss of each rank is made of these two.
        square, crossed = (None if x is None else 2 * sum_over_ranks(x) for x in grads)
        image_grad, text_grad = torch.empty_like(image), torch.empty_like(text)
        if square is not None:
            p, q = square * p, square * q
        if crossed is not None:
            r = crossed * r
        for rows in _strips(image):
            total, error = image[rows] + text[rows], image[rows] - text[rows]
            by_total, by_error = [], []
            if square is not None:
                by_total.append(product(total, q))
                by_error.append(product(error, p))
            if crossed is not None:
                by_total.append(product(error, r))
                by_error.append(product(total, r.T))
            by_both = reduce(torch.add, by_total), reduce(torch.add, by_error)
            torch.add(*by_both, out=image_grad[rows])
            torch.sub(*by_both, out=text_grad[rows])
        return image_grad, text_grad


def _strips(x: Tensor) -> list[slice]:
    """Strips of rows that stay in a CPU's caches; one product of all rows takes twice the time."""
    size = tile_size(x)
    return [slice(start, start + size) for start in range(0, len(x), size)]
