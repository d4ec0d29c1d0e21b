"""Muon for hidden matrices, perhaps convolutions, and AdamW for all else, as one optimizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.optim import Optimizer

from cyclip_pl import checks, sharding
from cyclip_pl.optimization.orthogonal import OrthogonalMomentum

_MOMENTUM = "momentum_buffer"


class Muon(Optimizer):
    """`OrthogonalMomentum` on groups without `use_fallback`, `torch.optim.AdamW` on the others.

    Both keep their state in this optimizer, which has one list of groups and one state dict.

    Args:
        params: Parameter groups, each with a bool `use_fallback`.
        lr, weight_decay: Of both. With `adjust_lr_fn="match_rms_adamw"` an update of Muon is as
            large as one of AdamW, and so those of AdamW fit (arXiv:2502.16982).
        momentum, nesterov, ns_steps, adjust_lr_fn: Muon's.
        convolutions: Convolutions of at most so many channels are Muon's as well, but for that of
            the image and those in groups; 0: none. Who makes the groups reads it. Iterations cost
            the square of the outputs, and so a step of a small network may cost twice as much.
        matrix_rate: What the rate of Muon's is multiplied by.
        betas, eps, fused: AdamW's.

    Raises:
        ValueError: No matrix learns; a matrix has fewer rows than there are ranks that share it.
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
        convolutions: int = 0,
        matrix_rate: float = 1.0,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        fused: bool = True,
    ) -> None:
        checks.whole("optimizer.convolutions", convolutions, least=0)
        checks.number("optimizer.matrix_rate", matrix_rate, above=0)
        groups = list(params)
        matrices = [group for group in groups if not group["use_fallback"]]
        rest = [group for group in groups if group["use_fallback"]]
        for group in matrices:
            group["lr"] = group.get("lr", lr) * matrix_rate
        if not matrices:
            raise ValueError(
                "optimizer=muon: no matrix of an attention or MLP layer learns; set optimizer=adamw"
            )
        for p in (p for group in matrices for p in group["params"]):
            if len(p) < (ranks := sharding.ranks_of(p)):
                raise ValueError(
                    f"optimizer=muon: a matrix of {len(p)} rows cannot be sharded over {ranks}"
                    " ranks; set trainer=ddp, or fewer ranks"
                )
        both: dict[str, Any] = {"lr": lr, "weight_decay": weight_decay}
        muon: dict[str, Any] = {"momentum": momentum, "nesterov": nesterov, "ns_steps": ns_steps}
        self._parts: list[Optimizer] = [
            OrthogonalMomentum(matrices, adjust_lr_fn=adjust_lr_fn, **muon, **both)
        ]
        if rest:
            self._parts.append(torch.optim.AdamW(rest, betas=betas, eps=eps, fused=fused, **both))
        joined = [group for part in self._parts for group in part.param_groups]
        super().__init__(joined, both)
        self._share()

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._share()

    def _share(self) -> None:
        """Let both work on the groups and the state of this optimizer."""
        for part, fallback in zip(self._parts, (False, True), strict=False):
            part.param_groups = [g for g in self.param_groups if g["use_fallback"] is fallback]
            part.state = self.state

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """A step of both."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        muon, *adamw = self._parts
        if any(sharding.ranks_of(p) > 1 for group in muon.param_groups for p in group["params"]):
            self._step_sharded(muon)
        else:
            muon.step()
        for part in adamw:
            part.step()
        return loss

    def _step_sharded(self, muon: Optimizer) -> None:
        """A matrix at a time, for which each rank has its whole gradient and momentum.

        The update is of the whole matrix, and the rows of a rank would not give theirs of it.
        """
        groups = muon.param_groups
        for group in groups:
            for p in (p for p in group["params"] if p.grad is not None):
                state, gradient = self.state[p], p.grad
                p.grad = sharding.replicated(gradient)
                if _MOMENTUM in state:
                    state[_MOMENTUM] = sharding.replicated(state[_MOMENTUM])
                muon.param_groups = [{**group, "params": [p]}]
                muon.step()
                state[_MOMENTUM] = sharding.sharded_as(state[_MOMENTUM], p)
                p.grad = gradient
        muon.param_groups = groups
