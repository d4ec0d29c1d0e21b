"""A checkpoint gives the state; the settings are those of the run that goes on."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler

from cyclip_pl.optimization import schedules
from cyclip_pl.optimization.groups import Group
from cyclip_pl.optimization.resuming import Resumable, regrouped


def _trained(
    steps: int, make: Callable[..., Any], lr: float = 1.0, **more: Any
) -> tuple[torch.optim.Optimizer, Resumable]:
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.AdamW([weight], lr=lr, **more)
    schedule = Resumable(make, optimizer)
    _train(optimizer, schedule, steps)
    return optimizer, schedule


def _train(optimizer: torch.optim.Optimizer, schedule: Resumable, steps: int) -> None:
    (weight,) = optimizer.param_groups[0]["params"]
    for _ in range(steps):
        weight.grad = torch.ones(2)
        optimizer.step()
        schedule.step()


def _settings(optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    return [{k: v for k, v in g.items() if k != "params"} for g in optimizer.param_groups]


OURS = {
    "cosine": lambda x: partial(schedules.cosine, total_steps=10 * x, warmup_steps=2),
    "constant": lambda x: partial(schedules.constant, warmup_steps=6 * x),
    "linear": lambda x: partial(schedules.linear, total_steps=10 * x, warmup_steps=2),
    "wsd": lambda x: partial(schedules.wsd, total_steps=10, warmup_steps=2, decay_steps=7 * x),
    "cosine_cooldown": lambda x: partial(
        schedules.cosine_cooldown, total_steps=10, warmup_steps=1, cosine_fraction=0.3 / x
    ),
    "StepLR": lambda x: partial(lr_scheduler.StepLR, step_size=x, gamma=0.5),
    "CosineAnnealingLR": lambda x: partial(lr_scheduler.CosineAnnealingLR, T_max=10 * x),
    "OneCycleLR": lambda x: partial(lr_scheduler.OneCycleLR, total_steps=20, max_lr=0.1 * x),
    "ExponentialLR": lambda x: partial(lr_scheduler.ExponentialLR, gamma=0.3 * x),
}


@pytest.mark.parametrize("name", OURS)
def test_a_resumed_run_takes_the_step_and_its_own_settings(name: str) -> None:
    """As if the whole run had been made with the settings of its second half."""
    before, its_schedule = _trained(4, OURS[name](2), 1.0, weight_decay=0.5, betas=(0.5, 0.6))
    state, of_schedule = before.state_dict(), deepcopy(its_schedule.state_dict())
    own = {"weight_decay": 0.1, "eps": 1e-3}
    optimizer, schedule = _trained(0, OURS[name](1), 0.25, **own)
    optimizer.load_state_dict(state)
    schedule.load_state_dict(of_schedule)
    wanted, its = _trained(4, OURS[name](1), 0.25, **own)
    assert _settings(optimizer) == _settings(wanted)
    assert schedule.get_last_lr() == its.get_last_lr() == [optimizer.param_groups[0]["lr"]]
    assert torch.equal(optimizer.state_dict()["state"][0]["exp_avg"], state["state"][0]["exp_avg"])
    for one in ((optimizer, schedule), (wanted, its)):
        _train(*one, 3)
    assert _settings(optimizer) == _settings(wanted)
    assert schedule.state_dict() == {"last_epoch": 7}


def test_a_checkpoint_of_another_kind_of_schedule_says_its_step() -> None:
    optimizer, schedule = _trained(0, OURS["StepLR"](1))
    schedule.load_state_dict({"last_epoch": 2, "_step_count": 3, "lr_lambdas": [None]})
    assert optimizer.param_groups[0]["lr"] == 0.25


def test_schedules_that_are_not_of_the_step() -> None:
    with pytest.raises(ValueError, match="^scheduler._target_: ReduceLROnPlateau goes by a metric"):
        _trained(0, lr_scheduler.ReduceLROnPlateau)
    one = torch.nn.Parameter(torch.ones(1))

    def scaled() -> torch.optim.Optimizer:
        return torch.optim.AdamW([{"params": [one], "lr": 0.1, "lr_scale": 0.1}])

    with pytest.raises(ValueError, match="OneCycleLR has learning rates of its own, and rates"):
        Resumable(OURS["OneCycleLR"](1), scaled())
    assert Resumable(OURS["StepLR"](1), scaled()).base_lrs == [0.1]


def test_the_state_follows_its_parameter_into_other_groups() -> None:
    values = {name: torch.nn.Parameter(torch.full((2,), float(i))) for i, name in enumerate("abcd")}
    was = [Group(["a", "c"], {"name": "x", "lr_scale": 0.1}), Group(["b", "d"], {})]
    now = [Group(["d"], {"name": "y"}), Group(["c"], {}), Group(["b", "a"], {})]

    def made(groups: list[Group]) -> torch.optim.Optimizer:
        return torch.optim.AdamW([{"params": [values[n] for n in g.names]} for g in groups], lr=1.0)

    before = made(was)
    for name, value in values.items():
        value.grad = None if name == "b" else value.detach().clone()
    before.step()
    before.param_groups[0]["counter"] = 5
    state = before.state_dict()
    state["param_groups"][0] |= was[0].settings
    after = made(now)
    after.load_state_dict(regrouped(state, was, now))
    for name, value in values.items():
        mine, its = after.state[value], before.state[value]
        assert mine.keys() == its.keys(), name
        assert all(torch.equal(mine[key], its[key]) for key in its)
    assert [g.get("counter") for g in after.param_groups] == [None, 5, None]
    assert "lr_scale" not in after.param_groups[1] and "name" not in after.param_groups[1]
