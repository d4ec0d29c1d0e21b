"""The pixels of a region as other types."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cyclip_pl.data.lazy_image import Pixels


def to_tensor(pixels: Pixels) -> Tensor:
    """uint8, (3, H, W)."""
    array = pixels if isinstance(pixels, np.ndarray) else np.array(pixels)
    return torch.from_numpy(array).permute(2, 0, 1)


def to_image(pixels: Pixels) -> Image.Image:
    """An RGB image."""
    return Image.fromarray(pixels) if isinstance(pixels, np.ndarray) else pixels


def mirrored(pixels: Pixels) -> Pixels:
    """Mirrored left to right."""
    if isinstance(pixels, np.ndarray):
        return np.ascontiguousarray(pixels[:, ::-1])
    return pixels.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
