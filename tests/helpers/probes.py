"""Labelled rows for probes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import one_hot


def blobs(samples: int, classes: int, seed: int, spread: float = 0.3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    label = torch.arange(samples) % classes
    noise = torch.randn(samples, classes, generator=generator)
    return one_hot(label, classes) * 2.0 + spread * noise, label
