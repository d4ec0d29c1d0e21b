"""How an image view was made, as numbers: the legend of `Batch.augmentation`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Parameters(NamedTuple):
    """How one image view was made; all zeros for the image as evaluations see it.

    Evaluations feed zeros, also for an oblong image, whose centre they crop. No entry depends on
    `image_size`.

    Attributes:
        x, y: The centre of the region minus that of the image, as shares of the image's width and
            height; right and down are positive.
        log_width, log_height: Natural logarithm of the region's share of the image's width and
            height; above 0 where a margin is shown.
        flip: 1 for a mirror image, left to right.
        rotation: Clockwise rotation of the region about its centre, in half turns (radians / π);
            the view shows the image rotated the other way.
        brightness, contrast, saturation: The factor minus 1.
        hue: The rotation about the grey axis, as a share of the full circle.
        grayscale: 1 for a grey image.
        blur: Standard deviation of the Gaussian, in pixels of a view with 224 pixels per side.
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
"""The names of the P entries, in order."""

Drawn = dict[str, float]
"""What one step of a view drew: entries of `Parameters` by name; missing ones are 0."""


def vectors(views: Sequence[Parameters]) -> Tensor:
    """V views → float32, (V, P)."""
    # Through numpy it takes half the time.
    return torch.from_numpy(np.array(views, dtype=np.float32))
