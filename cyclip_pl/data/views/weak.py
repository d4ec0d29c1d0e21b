"""Crop and mirror."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from cyclip_pl.data.lazy_image import Picture
from cyclip_pl.data.views.base import OneView
from cyclip_pl.data.views.crop import RandomCrop
from cyclip_pl.data.views.parameters import Parameters
from cyclip_pl.data.views.pixels import to_tensor


class Weak(OneView):
    """A random part of the picture, perhaps mirrored, and one of its captions.

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

    def view(self, picture: Picture, rng: np.random.Generator) -> tuple[Tensor, Parameters]:
        part, drawn = self.crop(picture, rng)
        return to_tensor(part), Parameters(**drawn)
