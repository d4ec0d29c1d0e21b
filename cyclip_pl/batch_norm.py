"""BatchNorms that normalise by the batch of all ranks."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from cyclip_pl.distributed import sum_over_ranks, world_size


class _OverRanks(_BatchNorm):
    """Of several ranks with equally many samples: what one process with all of them computes.

    torch's `SyncBatchNorm` does not run on a CPU.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, ...) → (N, C, ...)."""
        if not self.training or world_size() == 1:
            return super().forward(input)
        self._check_input_dim(input)
        x = input.to(torch.promote_types(input.dtype, torch.float32))
        others, shape = [0, *range(2, x.ndim)], [1, -1, *[1] * (x.ndim - 2)]
        count = world_size() * math.prod(x.shape[d] for d in others)
        mean_C = sum_over_ranks(x.sum(others)) / count
        centred = x - mean_C.view(shape)
        variance_C = sum_over_ranks(centred.square().sum(others)) / count
        if self.track_running_stats:
            self._follow(mean_C.detach(), variance_C.detach() * (count / (count - 1)))
        x = centred * (variance_C + self.eps).rsqrt().view(shape)
        if self.affine:
            x = x * self.weight.view(shape) + self.bias.view(shape)
        return x.to(input.dtype)

    @torch.no_grad()
    def _follow(self, mean_C: Tensor, variance_C: Tensor) -> None:
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share: Any = self.momentum
        if share is None:
            share = 1 / self.num_batches_tracked
        self.running_mean.lerp_(mean_C.to(self.running_mean.dtype), share)
        self.running_var.lerp_(variance_C.to(self.running_var.dtype), share)


class BatchNorm1d(_OverRanks, nn.BatchNorm1d):
    """Of (N, C)."""


class BatchNorm2d(_OverRanks, nn.BatchNorm2d):
    """Of (N, C, H, W)."""


def over_ranks(module: nn.Module) -> None:
    """Let each BatchNorm of a module normalise by the batch of all ranks; weights keep their names.

    Raises:
        ValueError: One of a kind that does more than normalise.
    """
    kinds: dict[type, type] = {nn.BatchNorm1d: BatchNorm1d, nn.BatchNorm2d: BatchNorm2d}
    for part in module.modules():
        if isinstance(part, _BatchNorm) and type(part) not in kinds:
            raise ValueError(
                f"trainer.sync_batchnorm=true: the network has {type(part).__name__}, which cannot"
                " be changed; set trainer.sync_batchnorm=false"
            )
        if type(part) in kinds:
            part.__class__ = kinds[type(part)]
