"""Crop, mirror, turn and colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from PIL import Image

from cyclip_pl.data.views.colour import RandomColour
from cyclip_pl.data.views.crop import RandomCrop
from cyclip_pl.data.views.interface import ViewedSample, draw_caption
from cyclip_pl.data.views.pixels import to_tensor


@dataclass(frozen=True)
class Jittered:
    """A random part of the picture in changed colours, and one of its captions.

    The attributes are those of `RandomCrop` and `RandomColour`.
    """

    image_size: int
    scale: Sequence[float] = (0.5, 1.0)
    ratio: Sequence[float] = (3 / 4, 4 / 3)
    flip: float = 0.5
    rotation: float = 0.0
    fill: int = 255
    margin: float = 0.0
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.1
    jitter: float = 0.8
    grayscale: float = 0.2

    image_views: ClassVar[int] = 1
    text_views: ClassVar[int] = 1
    parameters: ClassVar[int] = 0

    _crop: RandomCrop = field(init=False, repr=False, compare=False)
    _colour: RandomColour = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        crop = RandomCrop(
            self.image_size,
            self.scale,
            self.ratio,
            self.flip,
            self.rotation,
            self.fill,
            self.margin,
        )
        colour = RandomColour(
            self.brightness,
            self.contrast,
            self.saturation,
            self.hue,
            self.jitter,
            self.grayscale,
        )
        object.__setattr__(self, "_crop", crop)
        object.__setattr__(self, "_colour", colour)

    def __call__(
        self, image: Image.Image, captions: list[str], rng: np.random.Generator
    ) -> ViewedSample:
        view = to_tensor(self._colour(self._crop(image, rng), rng))
        return ViewedSample(view[None], [draw_caption(captions, rng)])
