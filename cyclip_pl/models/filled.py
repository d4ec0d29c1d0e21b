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
    if sketch:
        sketched(build).load_state_dict(weights, assign=True)
    with _NoRandomWeights():
        # Built twice and not moved from the sketch, which has no values of buffers that are not
        # in the weights: attention masks, pixel means.
        network = build()
    network.load_state_dict(weights)
    return network


def sketched(build: Callable[[], Network]) -> Network:
    """Build a network without memory for its weights, on the meta device."""
    with _NoRandomWeights(), torch.device("meta"):
        return build()


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
# With a number, of which a tensor without values needs nothing: on the meta device they are Python
# code that loads torch's compiler first, which takes seconds.
_KEEP_SHAPE = {
    Tensor.mul,
    Tensor.div,
    Tensor.mul_,
    Tensor.add_,
    Tensor.clamp_,
    Tensor.triu_,
}


class _NoRandomWeights(TorchFunctionMode):
    """Leave out random fills of tensors, which take most of the time of building a network."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _RANDOM_FILLS:
            return args[0] if args else kwargs["tensor"]
        if func is torch.randn:
            kwargs.pop("generator", None)
            return torch.empty(*args, **kwargs)
        if func in _KEEP_SHAPE and args[0].is_meta and not isinstance(args[-1], Tensor):
            return args[0]
        return func(*args, **kwargs)
