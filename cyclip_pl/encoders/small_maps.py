"""3×3 convolutions of maps so small that every output sees every input, as one matrix product.

A ResNet of small images ends in maps of 2×2 and 1×1 pixels, where most taps of a kernel meet
padding only. On a CPU the gradients of such weights take longer than all other layers together:
without AVX-512 oneDNN has only a slow kernel for them. As a product, no tap meets padding.

Shape legend: N images, C and O channels, H, W and P, Q pixels of input and output.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear


class Conv2d(nn.Conv2d):
    """`nn.Conv2d`, with the same values and gradients to rounding; in training on a CPU only."""

    def forward(self, input: Tensor) -> Tensor:
        corners = self._corners(input)
        if corners is None:
            return super().forward(input)
        (P, Q), (H, W) = map(len, corners), input.shape[2:]
        matrix = _Matrix.apply(self.weight, corners, H, W)
        output = linear(input.permute(0, 2, 3, 1).flatten(1), matrix)
        output = output.view(len(input), P, Q, self.out_channels).permute(0, 3, 1, 2)
        return output if self.bias is None else output + self.bias[:, None, None]

    def _corners(self, image: Tensor) -> tuple[list[int], list[int]] | None:
        """By output row and column the tap of the first pixel; None if a pixel is not seen."""
        # Evaluations gain little, and exported graphs are to hold plain convolutions.
        if not self.training or image.device.type != "cpu" or image.ndim != 4:
            return None
        assert not isinstance(self.padding, str)
        found = []
        for size, kernel, stride, padding in zip(
            image.shape[2:], self.kernel_size, self.stride, self.padding, strict=True
        ):
            outputs = (size + 2 * padding - kernel) // stride + 1
            first = [padding - output * stride for output in range(outputs)]
            if not outputs > 0 or first[-1] < 0 or first[0] + size > kernel:
                return None
            found.append(first)
        return found[0], found[1]


def use(network: nn.Module) -> None:
    """Let the convolutions of `network` compute so, where they can. Parameters stay as they are."""
    for module in network.modules():
        if (
            type(module) is nn.Conv2d
            and max(module.kernel_size) > 1
            and module.groups == 1
            and module.dilation == (1, 1)
            and module.padding_mode == "zeros"
            and not isinstance(module.padding, str)
        ):
            module.__class__ = Conv2d


class _Matrix(torch.autograd.Function):
    """Weight (O, C, …) → (P·Q·O, H·W·C), by which all pixels of an image are multiplied."""

    @staticmethod
    def forward(
        ctx: Any, weight: Tensor, corners: tuple[list[int], list[int]], height: int, width: int
    ) -> Tensor:
        ctx.layout = weight.shape, weight.stride()
        ctx.windows = [
            (slice(y, y + height), slice(x, x + width)) for y in corners[0] for x in corners[1]
        ]
        taps = weight.permute(0, 2, 3, 1)
        matrix = torch.stack([taps[:, rows, columns] for rows, columns in ctx.windows])
        return matrix.view(-1, height * width * weight.shape[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        shape, stride = ctx.layout
        grad = grads[0].new_empty_strided(shape, stride).zero_()
        taps = grad.permute(0, 2, 3, 1)
        windows = [taps[:, rows, columns] for rows, columns in ctx.windows]
        for window, part in zip(
            windows, grads[0].view(len(windows), *windows[0].shape), strict=True
        ):
            window += part
        return grad, None, None, None
