from __future__ import annotations

import sys
from functools import partial
from importlib import util

import pytest
import torch

from cyclip_pl.optimization.eight_bit import adamw_8bit
from cyclip_pl.optimization.making import Maker
from cyclip_pl.optimization.resuming import Resumable
from cyclip_pl.optimization.schedules import constant


def test_without_the_package_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    with pytest.raises(
        ValueError, match=r"^optimizer=adamw8bit: .* pip install 'cyclip-pl\[bitsan"
    ):
        Maker(partial(adamw_8bit, lr=0.1))([{"params": [torch.nn.Parameter(torch.ones(2, 2))]}])


@pytest.mark.skipif(util.find_spec("bitsandbytes") is None, reason="is an extra")
def test_its_state_has_eight_bits_and_resumes() -> None:
    def made(lr: float) -> tuple[torch.nn.Parameter, torch.optim.Optimizer, Resumable]:
        torch.manual_seed(0)
        weight = torch.nn.Parameter(torch.randn(128, 64))
        optimizer = Maker(partial(adamw_8bit, lr=lr))([{"params": [weight]}])
        return weight, optimizer, Resumable(partial(constant, warmup_steps=0), optimizer)

    def step(weight: torch.nn.Parameter, optimizer: torch.optim.Optimizer, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        weight.grad = torch.randn(weight.shape, generator=generator)
        optimizer.step()

    weight, optimizer, schedule = made(0.1)
    step(weight, optimizer, 0)
    assert optimizer.state[weight]["state1"].dtype == torch.uint8
    kept = [weight.detach().clone(), optimizer.state_dict(), schedule.state_dict()]
    again, other, its = made(0.2)
    again.data.copy_(kept[0])
    other.load_state_dict(kept[1])
    its.load_state_dict(kept[2])
    assert other.param_groups[0]["lr"] == 0.2, "it has hooks of its own, which torch does not call"
    other.param_groups[0]["lr"] = 0.1
    step(weight, optimizer, 1)
    step(again, other, 1)
    assert torch.equal(weight, again)
