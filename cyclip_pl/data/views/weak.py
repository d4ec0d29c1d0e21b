"""Crop and mirror."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from cyclip_pl.data.lazy_image import LazyImage
from cyclip_pl.data.views.base import ImageView
from cyclip_pl.data.views.crop import RandomCrop
from cyclip_pl.data.views.parameters import Parameters
from cyclip_pl.data.views.pixels import to_tensor


class Weak(ImageView):
    """A random region of the image, perhaps mirrored, and one of its captions.

    The arguments are those of `RandomCrop`.
    """

    def __init__(
        self,
        image_size: int,
        scale: Sequence[float] = (0.5, 1.0),
        ratio: Sequence[float] = (3 / 4, 4 / 3),
        flip: float = 0.5,
    ) -> None:
        self.image_size = image_size
        self.crop = RandomCrop(image_size, scale, ratio, flip)

    def view(self, image: LazyImage, rng: np.random.Generator) -> tuple[Tensor, Parameters]:
        pixels, drawn = self.crop(image, rng)
        return to_tensor(pixels), Parameters(**drawn)
