"""Crop and mirror."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from PIL import Image

from cyclip_pl.data.views.crop import RandomCrop
from cyclip_pl.data.views.interface import ViewedSample, draw_caption
from cyclip_pl.data.views.pixels import to_tensor


@dataclass(frozen=True)
class Weak:
    """A random part of the picture, perhaps mirrored, and one of its captions.

    The attributes are those of `RandomCrop`.
    """

    image_size: int
    scale: Sequence[float] = (0.5, 1.0)
    ratio: Sequence[float] = (3 / 4, 4 / 3)
    flip: float = 0.5

    image_views: ClassVar[int] = 1
    text_views: ClassVar[int] = 1
    parameters: ClassVar[int] = 0

    _crop: RandomCrop = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        crop = RandomCrop(self.image_size, self.scale, self.ratio, self.flip)
        object.__setattr__(self, "_crop", crop)

    def __call__(
        self, image: Image.Image, captions: list[str], rng: np.random.Generator
    ) -> ViewedSample:
        view = to_tensor(self._crop(image, rng))
        return ViewedSample(view[None], [draw_caption(captions, rng)])
