"""A step whose loss or gradients are not finite changes nothing."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


class StepGuard:
    """Keeps weights, optimiser state and buffers as they were before a step that is not finite.

    The decision stays on the device: a fused optimiser reads it there, as it does with a gradient
    scaler. Other optimisers are told by missing gradients, for which the host has to wait.

    Args:
        module: Its buffers are kept, such as the statistics of a BatchNorm.
        optimizer: As torch made it.
    """

    def __init__(self, module: nn.Module, optimizer: Optimizer) -> None:
        self.module = module
        self.optimizer = optimizer
        self.fused = getattr(optimizer, "_step_supports_amp_scaling", False)
        self._buffers: list[Tensor] = []

    @torch.no_grad()
    def before(self) -> None:
        """Call before the forward."""
        self._buffers = [buffer.clone() for buffer in self.module.buffers()]

    @torch.no_grad()
    def judge(self, values: Tensor) -> None:
        """Call after the backward and before the optimiser's step, with all ranks' values."""
        bad = ~values.isfinite().all()
        for buffer, old in zip(self.module.buffers(), self._buffers, strict=True):
            buffer.copy_(torch.where(bad, old, buffer))
        if self.fused:
            self.optimizer.found_inf = bad.float()  # type: ignore[attr-defined]
        elif bad.item():
            self.optimizer.zero_grad(set_to_none=True)
