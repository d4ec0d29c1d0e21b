"""Crop and mirror."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from cyclip_pl.data.views.crop import RandomCrop
from cyclip_pl.data.views.interface import ViewedSample, draw_caption
from cyclip_pl.data.views.pixels import to_tensor


class Weak:
    """A random part of the picture, perhaps mirrored, and one of its captions.

    The arguments are those of `RandomCrop`.
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
    ) -> None:
        self.image_size = image_size
        self.crop = RandomCrop(image_size, scale, ratio, flip)

    def __call__(
        self, image: Image.Image, captions: list[str], rng: np.random.Generator
    ) -> ViewedSample:
        view = to_tensor(self.crop(image, rng))
        return ViewedSample(view[None], [draw_caption(captions, rng)])
