"""A step after a resume does not depend on the order in memory in which a state was saved."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from cyclip_pl.optimizer_layout import keep_layout


def _stepped(weight: Tensor, state: dict, kept: bool) -> Tensor:
    parameter = nn.Parameter(weight.clone())
    optimizer = torch.optim.AdamW([parameter], lr=0.1, fused=True)
    if kept:
        keep_layout(optimizer)
    optimizer.load_state_dict(deepcopy(state))  # torch takes its tensors, not copies
    parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    return parameter.detach()


@pytest.mark.parametrize("saved", [torch.channels_last, torch.contiguous_format])
def test_a_state_of_another_order_gives_the_same_step(saved: torch.memory_format) -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(4, 3, 2, 2, generator=generator)
    first = nn.Parameter(weight.clone().contiguous(memory_format=saved))
    optimizer = torch.optim.AdamW([first], lr=0.1, fused=True)
    gradient = torch.randn(4, 3, 2, 2, generator=generator)
    first.grad = gradient.contiguous(memory_format=saved)
    optimizer.step()
    state = optimizer.state_dict()
    wanted = _stepped(first.detach(), state, kept=False)
    other = {torch.channels_last: torch.contiguous_format}.get(saved, torch.channels_last)
    begun = first.detach().contiguous(memory_format=other)
    assert torch.equal(_stepped(begun, state, kept=True), wanted)
    # Why it is needed: torch's own does not look at the order.
    assert not torch.equal(_stepped(begun, state, kept=False), wanted)
