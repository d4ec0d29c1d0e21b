"""The average is that of torch's own class, to the last bit, and swaps without a trace."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_avg_fn

from cyclip_pl.average import Average

DECAY = 0.9


def _network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3).to(memory_format=torch.channels_last),
        nn.BatchNorm2d(8),
        nn.Flatten(),
        nn.Linear(32, 4),
    )


def test_it_is_that_of_torch_to_the_last_bit_and_that_of_a_loop_in_float64() -> None:
    network = _network()
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
    average, torchs = Average(network), None
    exact = {n: x.double() for n, x in network.state_dict().items()}
    for step in range(20):
        optimizer.zero_grad()
        network(torch.randn(6, 3, 4, 4)).square().mean().backward()
        optimizer.step()
        if torchs is None:
            average.copy()
            torchs = AveragedModel(network, avg_fn=get_ema_avg_fn(DECAY), use_buffers=True)
        else:
            average.follow(DECAY)
        torchs.update_parameters(network)
        for name, x in network.state_dict().items():
            share = 1.0 if step == 0 else 1 - DECAY
            exact[name] = (1 - share) * exact[name] + share * x.double()
    found, wanted = average.state_dict(), torchs.module.state_dict()
    assert found.keys() == wanted.keys()
    assert not torch.equal(found["0.weight"], network.state_dict()["0.weight"])
    for name, x in found.items():
        if x.is_floating_point():
            assert torch.equal(x, wanted[name]), name
            torch.testing.assert_close(x.double(), exact[name], rtol=1e-6, atol=1e-7)
    assert found["1.num_batches_tracked"].item() == 20  # a count is not averaged


def test_tied_weights_have_one_average_and_frozen_ones_and_constants_none() -> None:
    module = nn.Module()
    module.a, module.frozen = nn.Linear(2, 2, bias=False), nn.Linear(2, 2).requires_grad_(False)
    module.b = nn.Linear(2, 2, bias=False)
    module.b.weight = module.a.weight
    module.register_buffer("constant", torch.tensor([0.1, -math.inf]), persistent=False)
    module.register_buffer("mask", torch.tensor([0.0, -math.inf]))
    average = Average(module)
    assert sorted(v.shape for v in average.values) == [(2,), (2, 2)]
    before = module.a.weight.detach().clone()
    module.a.weight.data += 1
    average.follow(0.5)
    with average.in_place():
        torch.testing.assert_close(module.a.weight.data, before + 0.5)
        assert module.b.weight is module.a.weight
        assert module.mask.tolist() == [0.0, -math.inf]
    assert torch.equal(module.a.weight.data, before + 1)
    state = average.state_dict()
    assert state.keys() == module.state_dict().keys()
    torch.testing.assert_close(state["b.weight"], before + 0.5)
    assert torch.equal(state["frozen.weight"], module.frozen.weight)


def test_weights_are_the_same_objects_and_come_back_when_something_is_raised() -> None:
    network = _network()
    average = Average(network)
    places = {n: x.data_ptr() for n, x in network.state_dict().items()}
    weights = {n: x.clone() for n, x in network.state_dict().items()}
    for value in average.values:
        value.fill_(0.25)
    with pytest.raises(RuntimeError, match="of an evaluation"), average.in_place():
        assert all(x.eq(0.25).all() for x in network.parameters())
        assert {n: x.data_ptr() for n, x in network.state_dict().items()} == places
        raise RuntimeError("of an evaluation")
    found = network.state_dict()
    assert all(torch.equal(found[n], weights[n]) for n in weights)
    assert all(v.eq(0.25).all() for v in average.values)


def test_it_moves_to_where_the_weights_are() -> None:
    network = nn.Linear(2, 2)
    average = Average(network)
    network.to("meta")
    average.to_weights()
    assert {v.device.type for v in average.values} == {"meta"}
