"""A step that is not finite leaves everything as it was."""

from __future__ import annotations

from copy import deepcopy
from functools import partial

import pytest
import torch
from torch import nn

from cyclip_pl.guard import StepGuard

FUSED = [
    partial(torch.optim.AdamW, fused=True),
    partial(torch.optim.Adam, fused=True),
    partial(torch.optim.SGD, fused=True, lr=0.1, momentum=0.9, weight_decay=0.1),
]
OTHERS = [
    torch.optim.AdamW,
    partial(torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=0.1),
    torch.optim.RMSprop,
]


class _Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x).square().mean()


def _step(guard: StepGuard, spoil: str | None) -> None:
    network = guard.module
    x = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    if spoil == "input":
        x[0, 0] = float("inf")
    guard.optimizer.zero_grad()
    guard.before()
    loss = network(x)
    loss.backward()
    if spoil == "gradient":
        network.body[0].weight.grad[1, 1] = float("inf")
    norm = torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    shown = loss.detach() * float("nan") if spoil == "loss" else loss.detach()
    guard.judge(torch.stack([shown, norm]))
    guard.optimizer.step()


def _states(guard: StepGuard) -> list[torch.Tensor]:
    states = guard.optimizer.state_dict()["state"].values()
    of_optimizer = [x for state in states for x in state.values() if isinstance(x, torch.Tensor)]
    return deepcopy([*guard.module.state_dict().values(), *of_optimizer])


@pytest.mark.parametrize("spoil", ["loss", "gradient", "input"])
@pytest.mark.parametrize("make", [*FUSED, *OTHERS])
def test_it_changes_nothing_and_the_next_step_is_as_if_it_had_not_been(make, spoil: str) -> None:
    torch.manual_seed(0)
    network = _Network()
    guard = StepGuard(network, make(network.parameters()))
    assert guard.fused is (make in FUSED)
    _step(guard, None)
    before = _states(guard)
    for _ in range(2):
        _step(guard, spoil)
    after = _states(guard)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    _step(guard, None)
    there = _states(guard)
    assert not torch.equal(there[0], before[0])

    torch.manual_seed(0)
    undisturbed = _Network()
    guard = StepGuard(undisturbed, make(undisturbed.parameters()))
    for _ in range(2):
        _step(guard, None)
    assert all(torch.equal(a, b) for a, b in zip(_states(guard), there, strict=True))


def test_as_the_very_first_step() -> None:
    network = _Network()
    before = deepcopy(network.state_dict())
    guard = StepGuard(network, torch.optim.AdamW(network.parameters(), fused=True))
    _step(guard, "input")
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
