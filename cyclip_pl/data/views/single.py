"""No augmentation: the recipe of CyCLIP's main results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from PIL import Image

from cyclip_pl.data.views.evaluation import resize_and_crop
from cyclip_pl.data.views.interface import ViewedSample, draw_caption
from cyclip_pl.data.views.pixels import to_tensor


@dataclass(frozen=True)
class Single:
    """The picture as evaluations see it, and one of its captions.

    Attributes:
        image_size: pixels of a side.
    """

    image_size: int

    image_views: ClassVar[int] = 1
    text_views: ClassVar[int] = 1
    parameters: ClassVar[int] = 0

    def __call__(
        self, image: Image.Image, captions: list[str], rng: np.random.Generator
    ) -> ViewedSample:
        view = to_tensor(resize_and_crop(image, self.image_size))
        return ViewedSample(view[None], [draw_caption(captions, rng)])
