"""The order in memory of an optimiser's state."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.optim import Optimizer


def keep_layout(optimizer: Optimizer) -> None:
    """Let the optimiser take a checkpoint's state in the order in memory of its parameters.

    A fused step pairs the numbers of the two by their places in memory. The run that saved them may
    have had another order: without channels_last, or with sharded parameters.
    """

    def restore(optimizer: Optimizer) -> None:
        for parameter, values in optimizer.state.items():
            for name, x in values.items():
                same = isinstance(x, Tensor) and x.shape == parameter.shape
                if same and x.stride() != parameter.stride():
                    like = torch.empty_like(parameter, dtype=x.dtype, device=x.device)
                    values[name] = like.detach().copy_(x)

    optimizer.register_load_state_dict_post_hook(restore)
