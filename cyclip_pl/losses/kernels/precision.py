"""Losses in float32 at least, whatever the precision of the towers."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import torch
from torch import Tensor


def _widen(x: Any) -> Any:
    if isinstance(x, Tensor) and x.dtype in (torch.float16, torch.bfloat16):
        return x.float()
    return x


Function = TypeVar("Function", bound=Callable[..., Any])


def full_precision(function: Function) -> Function:
    """Run `function` outside autocast, with half-precision tensor arguments as float32."""

    @wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        device = next((x.device.type for x in args if isinstance(x, Tensor)), "cpu")
        args = tuple(_widen(x) for x in args)
        kwargs = {k: _widen(v) for k, v in kwargs.items()}
        # Entering the context takes some 10 µs, which small batches feel.
        if not (torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)):
            return function(*args, **kwargs)
        with torch.autocast(device_type=device, enabled=False):
            return function(*args, **kwargs)

    return cast(Function, wrapped)
