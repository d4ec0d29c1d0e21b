"""The state that an evaluation runs in, and its way back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def evaluation_mode(model: object) -> Iterator[None]:
    """No gradients, and a model that is an `nn.Module` in eval mode; afterwards as before.

    Each submodule gets its own flag back: a frozen BatchNorm stays frozen. `no_grad`, not
    `inference_mode`: inference tensors that a model caches would break the next training step, and
    gloo and FSDP do not support them.
    """
    modules = list(model.modules()) if isinstance(model, nn.Module) else []
    training = [module.training for module in modules]
    try:
        for module in modules:
            module.training = False
        with torch.no_grad():
            yield
    finally:
        for module, flag in zip(modules, training, strict=True):
            module.training = flag


def similarity(image_ND: Tensor, text_KD: Tensor) -> Tensor:
    """(N, K) inner products in true float32, whatever autocast and TF32 settings are on."""
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(image_ND.device.type, enabled=False):
            return image_ND.float() @ text_KD.float().T
    finally:
        torch.set_float32_matmul_precision(precision)
