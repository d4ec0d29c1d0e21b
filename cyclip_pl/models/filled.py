"""Networks that are built to be filled with weights, without the cost of random ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import init
from torch.overrides import TorchFunctionMode

Network = TypeVar("Network", bound=nn.Module)


def filled(
    build: Callable[[], Network], weights: Mapping[str, Tensor], sketch: bool = True
) -> Network:
    """Build a network and fill it with weights, which must be exactly its own.

    Args:
        sketch: Build it without memory first, so that settings of a stranger cannot ask for more
            than the weights hold.

    Raises:
        RuntimeError: A weight is missing, has another shape, or is left over.
    """
    with _NoRandomWeights():
        if sketch:
            with torch.device("meta"):
                build().load_state_dict(weights, assign=True)
        # Built twice and not moved from the sketch, which has no values of buffers that are not
        # in the weights: attention masks, pixel means.
        network = build()
    network.load_state_dict(weights)
    return network


# All others of `torch.nn.init` end in those of Tensor.
_RANDOM_FILLS = {
    init.uniform_,
    init.normal_,
    init.kaiming_uniform_,
    init.kaiming_normal_,
    Tensor.uniform_,
    Tensor.normal_,
    Tensor.erfinv_,
}


class _NoRandomWeights(TorchFunctionMode):
    """Leave out random fills of tensors, which take most of the time of building a network."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _RANDOM_FILLS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)
