"""A moving average of a module's weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from cyclip_pl.sharding import local


class Average:
    """The average of what a module learns and remembers, which begins as what it has now.

    It is of the parameters that learn and of the floating-point buffers that checkpoints hold, such
    as a BatchNorm's statistics. What is sharded has its average in the same shards, so that ranks
    exchange nothing. The module's tensors stay the same objects: optimiser, DDP, FSDP and compiled
    graphs do not notice.

    Args:
        module: Whose weights, on their device and already sharded.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.values = [x.detach().clone() for x in self._weights()]

    def _weights(self) -> list[Tensor]:
        saved = self.module.state_dict(keep_vars=True).values()
        once = {id(x): x for x in saved if x.is_floating_point()}  # tied weights have two names
        return [x for x in once.values() if x.requires_grad or not isinstance(x, nn.Parameter)]

    @torch.no_grad()
    def copy(self) -> None:
        """Start over from the weights."""
        for value, x in zip(self.values, self._weights(), strict=True):
            local(value).copy_(local(x))

    @torch.no_grad()
    def follow(self, decay: float) -> None:
        """Make it decay · average + (1 − decay) · weights."""
        values, weights = [local(v) for v in self.values], [local(x) for x in self._weights()]
        # Two products, not a step towards the weights: infinite values, as of a mask, stay.
        torch._foreach_mul_(values, decay)
        torch._foreach_add_(values, torch._foreach_mul(weights, 1 - decay))

    def to_weights(self) -> None:
        """Move to the device of the weights."""
        places = [x.device for x in self._weights()]
        self.values = [v.to(place) for v, place in zip(self.values, places, strict=True)]

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside, the module has the average, and the weights wait in its place."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for value, x in zip(self.values, self._weights(), strict=True):
            kept = local(x).clone()
            local(x).copy_(local(value))
            local(value).copy_(kept)

    def state_dict(self) -> dict[str, Tensor]:
        """The module's state with the average in it, sharded as the module is; not copied."""
        averages = {id(x): v for x, v in zip(self._weights(), self.values, strict=True)}
        state = self.module.state_dict(keep_vars=True)
        return {name: averages.get(id(x), x.detach()) for name, x in state.items()}
