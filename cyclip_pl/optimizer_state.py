"""An optimiser's state, whole: as one process has it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from cyclip_pl import sharding


def gathered_state(optimizer: Optimizer, wanted: bool) -> dict[str, Any]:
    """`optimizer.state_dict()` with whole tensors on the CPU; all ranks call it.

    Args:
        wanted: Whether this rank wants it; otherwise it gets an empty one.
    """
    state = optimizer.state_dict()
    of_all: dict[int, dict[str, Any]] = {}
    for number, values in state["state"].items():
        found = {
            name: sharding.gathered(x).cpu() if isinstance(x, Tensor) else x
            for name, x in values.items()
        }
        if wanted:
            of_all[number] = found
    return {**state, "state": of_all} if wanted else {}


def fill_state(optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """Let an optimiser, whose parameters may be sharded, go on from a whole state."""
    parameters = chain.from_iterable(group["params"] for group in optimizer.param_groups)
    numbers = chain.from_iterable(group["params"] for group in state["param_groups"])
    by_number = dict(zip(numbers, parameters, strict=False))
    sharded = {
        number: {
            name: _like(by_number[number], x) if isinstance(x, Tensor) else x
            for name, x in values.items()
        }
        for number, values in state["state"].items()
    }
    optimizer.load_state_dict({**state, "state": sharded})


def _like(parameter: Tensor, values: Tensor) -> Tensor:
    """Values as the optimiser keeps them for this parameter: sharded as it is, if of its shape."""
    if not values.ndim:
        return values  # a count of steps
    if values.shape == parameter.shape:
        x = torch.zeros_like(parameter, dtype=values.dtype)
    else:
        x = parameter.new_zeros(values.shape, dtype=values.dtype)
    sharding.fill(x, values)
    return x
