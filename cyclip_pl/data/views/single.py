"""No augmentation: the recipe of CyCLIP's main results."""

from __future__ import annotations

import numpy as np
from PIL import Image

from cyclip_pl.data.views.evaluation import resize_and_crop
from cyclip_pl.data.views.interface import ViewedSample, draw_caption
from cyclip_pl.data.views.pixels import to_tensor


class Single:
    """The picture as evaluations see it, and one of its captions.

    Args:
        image_size: pixels of a side.
    """

    image_views = 1
    text_views = 1
    parameters = 0

    def __init__(self, image_size: int) -> None:
        self.image_size = image_size

    def __call__(
        self, image: Image.Image, captions: list[str], rng: np.random.Generator
    ) -> ViewedSample:
        view = to_tensor(resize_and_crop(image, self.image_size))
        return ViewedSample(view[None], [draw_caption(captions, rng)])
