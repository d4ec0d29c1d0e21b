from __future__ import annotations

from copy import deepcopy
from functools import partial
from typing import Any

import pytest
import timm.optim
import torch

from cyclip_pl.optimization.making import Maker
from cyclip_pl.optimization.resuming import Resumable
from cyclip_pl.optimization.schedules import cosine
from cyclip_pl.optimization.timm_optimizer import timm_class, timm_optimizer

NAMES = timm.optim.list_optimizers(exclude_filters=["bnb*", "fused*", "kron*", "adahessian"])


def _made(name: str) -> tuple[torch.nn.Module, torch.optim.Optimizer, Resumable]:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Linear(5, 3))
    groups: list[dict[str, Any]] = [
        {"params": [p for p in network.parameters() if p.ndim == 2], "use_fallback": False},
        {"params": [p for p in network.parameters() if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups[1]["use_fallback"] = True
    optimizer = Maker(partial(timm_optimizer, name=name, lr=1e-2, weight_decay=0.1))(groups)
    return network, optimizer, Resumable(partial(cosine, total_steps=9, warmup_steps=2), optimizer)


def _steps(made: tuple[Any, ...], first: int, last: int) -> None:
    network, optimizer, schedule = made
    for seed in range(first, last):
        generator = torch.Generator().manual_seed(seed)
        for p in network.parameters():
            p.grad = torch.randn(p.shape, generator=generator)
        optimizer.step()
        schedule.step()


@pytest.mark.filterwarnings("ignore")
def test_all_of_timms_resume_bit_for_bit() -> None:
    """Some keep counters among the settings of a group, which are state."""
    assert len(NAMES) > 60
    for name in NAMES:
        made = _made(name)
        _steps(made, 0, 3)
        kept = deepcopy([one.state_dict() for one in made])
        _steps(made, 3, 5)
        resumed = _made(name)
        for one, state in zip(resumed, kept, strict=True):
            one.load_state_dict(state)
        _steps(resumed, 3, 5)
        torch.testing.assert_close(resumed[0].state_dict(), made[0].state_dict(), rtol=0, atol=0)
        assert not torch.equal(made[0][0].weight, kept[0]["0.weight"]), name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "lambada",
            r"optimizer\.name=lambada: is not one of timm's that work here; did you mean l",
        ),
        ("kron", r"optimizer\.name=kron: is not one of timm's that work here"),
        ("adahessian", r"optimizer\.name=adahessian: needs second derivatives"),
    ],
)
def test_names_that_do_not_work(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        timm_class(name)


def test_a_setting_that_it_does_not_take_is_named() -> None:
    make = Maker(partial(timm_optimizer, name="lion", lr=1.0, alpha=2))
    with pytest.raises(ValueError, match=r"^optimizer\.name=lion: .*alpha"):
        make([{"params": [torch.nn.Parameter(torch.ones(1))]}])


@pytest.mark.parametrize(("name", "apart"), [("muon", True), ("adamuon", True), ("lion", False)])
def test_those_of_matrices_get_them_apart(name: str, apart: bool) -> None:
    assert Maker(partial(timm_optimizer, name=name)).matrices_apart is apart
