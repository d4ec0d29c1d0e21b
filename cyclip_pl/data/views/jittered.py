"""Crop, mirror, turn and colours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from cyclip_pl.data.views.colour import RandomColour
from cyclip_pl.data.views.crop import RandomCrop
from cyclip_pl.data.views.interface import ViewedSample, draw_caption
from cyclip_pl.data.views.pixels import to_tensor


class Jittered:
    """A random part of the picture in changed colours, and one of its captions.

    The arguments are those of `RandomCrop` and `RandomColour`.
    """

    image_views = 1
    text_views = 1
    parameters = 0

    def __init__(
        self,
        image_size: int,
        scale: Sequence[float] = (0.5, 1.0),
        ratio: Sequence[float] = (3 / 4, 4 / 3),
        flip: float = 0.5,
        rotation: float = 0.0,
        fill: int = 255,
        margin: float = 0.0,
        brightness: float = 0.4,
        contrast: float = 0.4,
        saturation: float = 0.4,
        hue: float = 0.1,
        jitter: float = 0.8,
        grayscale: float = 0.2,
    ) -> None:
        self.image_size = image_size
        self.crop = RandomCrop(image_size, scale, ratio, flip, rotation, fill, margin)
        self.colour = RandomColour(brightness, contrast, saturation, hue, jitter, grayscale)

    def __call__(
        self, image: Image.Image, captions: list[str], rng: np.random.Generator
    ) -> ViewedSample:
        view = to_tensor(self.colour(self.crop(image, rng), rng))
        return ViewedSample(view[None], [draw_caption(captions, rng)])
