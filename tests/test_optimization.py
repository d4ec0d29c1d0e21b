from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import LRScheduler

from cyclip_pl.optimization import cosine, decayed_names, keep_settings, parameter_groups
from tests.helpers.modules import small_module


def test_weight_decay_is_for_matrices_alone() -> None:
    module = small_module("cyclip")
    names = {id(p): n for n, p in module.named_parameters()}
    decayed, rest = parameter_groups(module, module.decayed)
    assert rest["weight_decay"] == 0.0
    assert "weight_decay" not in decayed
    rest_names = {names[id(p)] for p in rest["params"]}
    assert "objective.logit_scale" in rest_names
    assert all(
        n.split(".")[-1] in ("weight", "bias", "in_proj_bias", "class_embedding", "logit_scale")
        for n in rest_names
    )
    assert "encoder.model.token_embedding.weight" in {names[id(p)] for p in decayed["params"]}
    assert len(decayed["params"]) + len(rest["params"]) == len(names)


def test_names_are_found_behind_wrappers() -> None:
    class Wrapper(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self._fsdp_wrapped_module = torch.nn.Linear(2, 2)

    inner = torch.nn.Linear(2, 2)
    decayed, rest = parameter_groups(Wrapper(), decayed_names(inner))
    assert [p.ndim for p in decayed["params"]] == [2]
    assert [p.ndim for p in rest["params"]] == [1]


@pytest.mark.parametrize(
    ("step", "expected"),
    [(0, 0.1), (9, 1.0), (10, 1.0), (60, 0.55), (110, 0.1), (500, 0.1)],
)
def test_cosine_with_warmup_in_steps(step, expected) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = cosine(optimizer, 110, warmup_steps=10, final_fraction=0.1)
    assert schedule.lr_lambdas[0](step) == pytest.approx(expected)


def _trained(
    steps: int, lr: float, total: int, **more: Any
) -> tuple[torch.optim.Optimizer, LRScheduler]:
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.AdamW([weight], lr=lr, **more)
    schedule = cosine(optimizer, total, warmup_steps=2)
    keep_settings(optimizer)
    for _ in range(steps):
        weight.grad = torch.ones(2)
        optimizer.step()
        schedule.step()
    return optimizer, schedule


def test_a_resumed_schedule_and_optimizer_take_the_settings_of_this_run() -> None:
    before, its_schedule = _trained(4, 1.0, 10, weight_decay=0.5, betas=(0.5, 0.6))
    optimizer, schedule = _trained(0, 0.25, 40, weight_decay=0.1, eps=1e-3)
    optimizer.load_state_dict(before.state_dict())
    schedule.load_state_dict(its_schedule.state_dict())
    wanted, its_state = _trained(4, 0.25, 40)[0].param_groups[0], before.state_dict()["state"]
    (group,) = optimizer.param_groups
    assert (group["lr"], group["initial_lr"]) == (wanted["lr"], 0.25)
    assert (group["weight_decay"], group["eps"], group["betas"]) == (0.1, 1e-3, (0.9, 0.999))
    assert torch.equal(optimizer.state_dict()["state"][0]["exp_avg"], its_state[0]["exp_avg"])
    schedule.step()
    assert schedule.get_last_lr() == [_trained(5, 0.25, 40)[0].param_groups[0]["lr"]]


def test_a_schedule_of_another_kind_goes_on_where_it_was() -> None:
    before = _trained(4, 1.0, 10)[0]
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(2))], lr=1.0)
    torch.optim.lr_scheduler.StepLR(optimizer, 1)
    keep_settings(optimizer)
    optimizer.load_state_dict(before.state_dict())
    assert optimizer.param_groups[0]["lr"] == before.param_groups[0]["lr"] != 1.0


def test_a_run_without_end_has_no_cosine() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    with pytest.raises(ValueError, match="set trainer.max_steps"):
        cosine(optimizer, float("inf"), warmup_steps=10)
