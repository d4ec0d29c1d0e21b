from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch.optim import lr_scheduler

from cyclip_pl.optimization.making import Maker, named_schedule


def _optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)


def test_a_setting_that_is_not_taken_is_named() -> None:
    with pytest.raises(ValueError, match=r"^optimizer\._target_=torch.*SGD: .* ~optimizer\.betas$"):
        Maker(partial(torch.optim.SGD, betas=(0.1, 0.2)))
    make = partial(lr_scheduler.StepLR, step_size=3, warmup_steps=1, final_fraction=0)
    told = r"^scheduler\._target_=torch.*StepLR: does not take warmup_steps, final_fraction; add ~s"
    with pytest.raises(ValueError, match=told):
        named_schedule(make)


def test_what_cannot_be_made_names_the_setting() -> None:
    with pytest.raises(
        ValueError, match=r"^optimizer\._target_=torch.*Muon: Muon only supports 2D"
    ):
        Maker(partial(torch.optim.Muon, lr=0.1))([{"params": [torch.nn.Parameter(torch.ones(3))]}])
    with pytest.raises(ValueError, match=r"^scheduler\._target_=torch.*StepLR: .*step_size"):
        named_schedule(partial(lr_scheduler.StepLR))(_optimizer(), 10)


def test_torchs_schedules_are_told_how_long_the_run_is() -> None:
    cosine = named_schedule(partial(lr_scheduler.CosineAnnealingLR))
    assert cosine(_optimizer(), 12).T_max == 12
    assert (
        named_schedule(partial(lr_scheduler.CosineAnnealingLR, T_max=5))(_optimizer(), 12).T_max
        == 5
    )
    assert (
        named_schedule(partial(lr_scheduler.OneCycleLR, max_lr=1))(_optimizer(), 12).total_steps
        == 12
    )
    assert named_schedule(partial(lr_scheduler.StepLR, step_size=2))(_optimizer(), math.inf)
    with pytest.raises(ValueError, match="the run has no end; set trainer.max_steps"):
        cosine(_optimizer(), math.inf)
