"""An optimiser's state as it comes from a checkpoint, divided among the ranks."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from cyclip_pl import sharding
from cyclip_pl.checkpoints.shards import Shards


def fill_state(optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """Let an optimiser, whose parameters may be sharded, go on from a whole state."""
    parameters = chain.from_iterable(group["params"] for group in optimizer.param_groups)
    numbers = chain.from_iterable(group["params"] for group in state["param_groups"])
    by_number = dict(zip(numbers, parameters, strict=False))
    sharded = {
        number: {
            name: _like(by_number[number], x) if isinstance(x, Tensor | Shards) else x
            for name, x in values.items()
        }
        for number, values in state["state"].items()
    }
    optimizer.load_state_dict({**state, "state": sharded})


def _like(parameter: Tensor, values: Tensor | Shards) -> Tensor:
    """Values as the optimiser keeps them for this parameter: sharded as it is, if of its shape."""
    if isinstance(values, Tensor) and not values.ndim:
        return values  # a count of steps
    if values.shape == parameter.shape:
        x = torch.zeros_like(parameter, dtype=values.dtype)
    else:
        x = parameter.new_zeros(values.shape, dtype=values.dtype)
    sharding.fill(x, values)
    return x
