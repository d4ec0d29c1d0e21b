"""Pillow -> torch."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def to_tensor(image: Image.Image) -> Tensor:
    """An RGB picture -> uint8, (3, H, W)."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)
