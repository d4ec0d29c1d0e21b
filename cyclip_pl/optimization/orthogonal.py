"""Muon's update: momentum that is made orthogonal, of matrices and of convolutions.

Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024. The rates are those
of `torch.optim.Muon`, which takes matrices alone and computes in bfloat16. A CPU without bfloat16
needs 20 to 40 times as long for that as for float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from cyclip_pl import checks, sharding

# Of the polynomial a·x + b·x³ + c·x⁵, which is steep at 0: singular values end near 1.
_A, _B, _C = 3.4445, -4.7750, 2.0315

ADJUSTMENTS: dict[str, Callable[[int, int], float]] = {
    "original": lambda rows, columns: math.sqrt(max(1, rows / columns)),
    "match_rms_adamw": lambda rows, columns: 0.2 * math.sqrt(max(rows, columns)),
    "spectral_unclamped": lambda rows, columns: math.sqrt(rows / columns),
}
"""What the rate of an (M, N) matrix is multiplied by, by name."""


class OrthogonalMomentum(Optimizer):
    """Each step moves a matrix by its momentum with all singular values near 1.

    A convolution is a matrix of its outputs by its taps. Taps without gradients, such as those that
    meet padding only, are left out of it and stay as they are but for the decay.

    Args:
        params: Parameter groups of matrices (M, N) and convolutions (O, C, H, W).
        lr, weight_decay: As AdamW's: the decay is `lr · weight_decay`.
        momentum: Share of the momentum that a step keeps.
        nesterov: Whether the gradient counts once more.
        ns_steps: Newton–Schulz iterations.
        adjust_lr_fn: One of `ADJUSTMENTS`.

    Raises:
        ValueError: Another `adjust_lr_fn`.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_steps: int = 5,
        adjust_lr_fn: str = "match_rms_adamw",
    ) -> None:
        checks.one_of("optimizer.adjust_lr_fn", adjust_lr_fn, ADJUSTMENTS)
        super().__init__(
            params,
            {
                "lr": lr,
                "weight_decay": weight_decay,
                "momentum": momentum,
                "nesterov": nesterov,
                "ns_steps": ns_steps,
                "adjust_lr_fn": adjust_lr_fn,
            },
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """A step of all parameters that have a gradient."""
        assert closure is None
        for group in self.param_groups:
            for p in (p for p in group["params"] if p.grad is not None):
                state = self.state[p]
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(p.grad)
                momentum = state["momentum_buffer"].lerp_(p.grad, 1 - group["momentum"])
                update = p.grad.lerp(momentum, group["momentum"]) if group["nesterov"] else momentum
                p.mul_(1 - group["lr"] * group["weight_decay"])
                _move(p, update, group)


def _move(p: Tensor, update: Tensor, group: dict[str, Any]) -> None:
    """A step of p against its update; of sharded parameters each rank has the whole update."""
    own = sharding.local(update)
    by_tap = own.permute(0, 2, 3, 1).flatten(1, 2) if own.ndim == 4 else own[:, None]
    taps = by_tap.abs().amax((0, 2)) > 0  # outputs, taps, inputs
    matrix = by_tap[:, taps].flatten(1)
    if not matrix.numel():
        return
    rate = group["lr"] * ADJUSTMENTS[group["adjust_lr_fn"]](*matrix.shape)
    step = torch.zeros_like(by_tap)
    step[:, taps] = orthogonal(matrix, group["ns_steps"]).to(step.dtype).view_as(by_tap[:, taps])
    step = step.unflatten(1, own.shape[2:]).permute(0, 3, 1, 2) if own.ndim == 4 else step[:, 0]
    p.add_(sharding.replicated_as(step, update), alpha=-rate)


def orthogonal(matrix_MN: Tensor, steps: int = 5) -> Tensor:
    """A matrix of the same singular vectors whose singular values are about 1: 0.7 … 1.2.

    Args:
        matrix_MN: Any real matrix; one of zeros gives zeros.
        steps: Iterations.

    Returns:
        (M, N), of float64 in float64; else in bfloat16 where the device computes in it natively,
        and in float32 where not.
    """
    x = matrix_MN.to(_dtype(matrix_MN))
    wide = x if len(x) <= x.shape[1] else x.T
    wide = wide / wide.norm().clamp(min=1e-7)
    # The square of the singular values needs the digits of float32.
    by_gram = wide.shape[1] > 2 * len(wide) and x.dtype != torch.bfloat16
    wide = _by_gram(wide, steps) if by_gram else _direct(wide, steps)
    return wide if len(x) <= x.shape[1] else wide.T


def _direct(wide: Tensor, steps: int) -> Tensor:
    for _ in range(steps):
        gram = wide @ wide.T
        wide = torch.addmm(wide, torch.addmm(gram, gram, gram, beta=_B, alpha=_C), wide, beta=_A)
    return wide


def _by_gram(wide: Tensor, steps: int) -> Tensor:
    """The same with two products of the whole matrix; the others are of its smaller side alone."""
    gram = wide @ wide.T
    factor = whole = None
    for _ in range(steps):
        if factor is not None:
            gram = factor @ gram @ factor  # of the matrix behind the last iteration
        factor = torch.addmm(gram, gram, gram, beta=_B, alpha=_C)
        factor.diagonal().add_(_A)
        whole = factor if whole is None else factor @ whole
    return wide if whole is None else whole @ wide


def _dtype(matrix: Tensor) -> torch.dtype:
    if matrix.dtype == torch.float64:
        return torch.float64
    native = matrix.device.type != "cpu" or torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if native else torch.float32
