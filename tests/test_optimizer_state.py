"""An optimiser's state goes into a checkpoint as one process has it, and comes back sharded."""

from __future__ import annotations

from copy import deepcopy
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh

from cyclip_pl import sharding
from cyclip_pl.distributed import world_size
from cyclip_pl.optimizer_state import fill_state
from cyclip_pl.sharding import Policy, gathered
from tests.helpers.distributed import run_distributed

OPTIMIZERS: dict[str, Any] = {
    "adamw": partial(torch.optim.AdamW, lr=0.1, weight_decay=0.1),
    "sgd": partial(torch.optim.SGD, lr=0.1, momentum=0.9),
    "amsgrad": partial(torch.optim.AdamW, lr=0.1, amsgrad=True),
    "adagrad": partial(torch.optim.Adagrad, lr=0.1),
}
STEPS = 3


def _network() -> nn.Module:
    torch.manual_seed(0)
    # Fewer rows than ranks, one value, and uneven rows.
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 1), nn.Linear(1, 3)).double()


def _step(network: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
    """The same batch on each rank: the mean of the gradients is that of one process."""
    draw = torch.Generator().manual_seed(step)
    optimizer.zero_grad()
    x = torch.randn(6, 4, generator=draw, dtype=torch.float64)
    network(x).square().sum().backward()
    optimizer.step()


def _whole(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Copies, as in a checkpoint."""
    return deepcopy(sharding.replaced(optimizer.state_dict(), lambda at, x: gathered(x)))


def _weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: gathered(x).detach().clone() for name, x in network.named_parameters()}


def _run(name: str) -> tuple[dict[str, Any], dict[str, Tensor], dict[str, Tensor]]:
    """The state after some steps, the weights after one more, and after one that is resumed."""
    networks = _network(), _network()
    if world_size() > 1:
        mesh = init_device_mesh("cpu", (world_size(),))
        for network in networks:
            sharding.shard(network, (), mesh, Policy())
    network, other = networks
    optimizer, resumed = (OPTIMIZERS[name](n.parameters()) for n in networks)
    for step in range(STEPS):
        _step(network, optimizer, step)
    state, weights = _whole(optimizer), _weights(network)
    for target, values in zip(other.parameters(), weights.values(), strict=True):
        sharding.fill(target, values)
    fill_state(resumed, deepcopy(state))
    for parameter, values in resumed.state.items():
        for key, x in values.items():
            was = optimizer.state[
                dict(zip(other.parameters(), network.parameters(), strict=True))[parameter]
            ]
            assert type(x) is type(was[key]), key
    _step(network, optimizer, STEPS)
    _step(other, resumed, STEPS)
    return state, _weights(network), _weights(other)


def _on_rank() -> dict[str, Any]:
    return {name: _run(name) for name in OPTIMIZERS}


@pytest.fixture(scope="module")
def ranks() -> list[Any]:
    return run_distributed(_on_rank, 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_state_is_that_of_one_process_and_goes_on(ranks: list[Any], name: str) -> None:
    state, weights, _ = _run(name)
    for rank in ranks:
        found, straight, resumed = rank[name]
        torch.testing.assert_close(found["state"], state["state"], rtol=0, atol=1e-12)
        assert found["param_groups"] == state["param_groups"]
        torch.testing.assert_close(straight, weights, rtol=0, atol=1e-12)
        torch.testing.assert_close(resumed, straight, rtol=0, atol=0)
