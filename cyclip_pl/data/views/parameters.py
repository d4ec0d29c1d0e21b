"""How an image view was made, as numbers: the legend of `Batch.augmentation`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Parameters(NamedTuple):
    """How one image view was made of its picture; zero throughout for a picture as it is.

    That is the picture as evaluations see it (`evaluation_transform`), whatever its centre crop
    leaves of an oblong one: evaluations feed zeros. No entry depends on `image_size`.

    Attributes:
        x, y: the centre of the part shown less that of the picture, as shares of the picture's
            width and height; right and down are positive.
        log_width, log_height: natural logarithm of the part's share of the picture's width and
            height; above 0 where a margin is shown.
        flip: 1 for a mirror image, left to right.
        rotation: by how much the part was turned clockwise about its centre (so that the view
            shows the picture turned the other way), in half turns: radians / π.
        brightness, contrast, saturation: the factor, less 1.
        hue: the turn about the grey axis, as a share of the full circle.
        grayscale: 1 for a grey picture.
        blur: standard deviation of the Gaussian, in 1/224 of the view's side (pixels of a view
            of 224 pixels).
    """

    x: float = 0.0
    y: float = 0.0
    log_width: float = 0.0
    log_height: float = 0.0
    flip: float = 0.0
    rotation: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    grayscale: float = 0.0
    blur: float = 0.0


LEGEND = Parameters._fields
"""The names of the P entries, in their order."""

Drawn = dict[str, float]
"""What one step of a view drew: entries of `Parameters` by name; those left out are 0."""


def vectors(views: Sequence[Parameters]) -> Tensor:
    """V views -> float32, (V, P)."""
    # By way of numpy it takes half the time.
    return torch.from_numpy(np.array(views, dtype=np.float32))
