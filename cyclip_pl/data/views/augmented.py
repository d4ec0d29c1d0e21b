"""Crop, mirror, rotation, colours and blur."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from cyclip_pl.data.lazy_image import LazyImage
from cyclip_pl.data.views.base import ImageView
from cyclip_pl.data.views.blur import RandomBlur
from cyclip_pl.data.views.colour import RandomColour
from cyclip_pl.data.views.crop import RandomCrop
from cyclip_pl.data.views.parameters import Parameters
from cyclip_pl.data.views.pixels import to_tensor


class Augmented(ImageView):
    """A random region of the image in changed colours, perhaps blurred, and one of its captions.

    The arguments are those of `RandomCrop` and `RandomColour`; `blur` and `blur_sigma` are
    `probability` and `sigma` of `RandomBlur`.
    """

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
        blur: float = 0.0,
        blur_sigma: Sequence[float] = (0.1, 2.0),
    ) -> None:
        self.image_size = image_size
        self.crop = RandomCrop(image_size, scale, ratio, flip, rotation, fill, margin)
        self.colour = RandomColour(brightness, contrast, saturation, hue, jitter, grayscale)
        self.blur = RandomBlur(image_size, blur, blur_sigma)

    def view(self, image: LazyImage, rng: np.random.Generator) -> tuple[Tensor, Parameters]:
        pixels, geometry = self.crop(image, rng)
        pixels, colours = self.colour(pixels, rng)
        pixels, blur = self.blur(pixels, rng)
        return to_tensor(pixels), Parameters(**geometry, **colours, **blur)
