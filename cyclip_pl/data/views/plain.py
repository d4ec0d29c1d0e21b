"""No augmentation: the recipe of CyCLIP's main results."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from cyclip_pl.data.lazy_image import LazyImage
from cyclip_pl.data.views.base import ImageView
from cyclip_pl.data.views.evaluation import resize_and_crop
from cyclip_pl.data.views.parameters import Parameters
from cyclip_pl.data.views.pixels import to_tensor


class Plain(ImageView):
    """The image as evaluations see it, and one of its captions.

    Args:
        image_size: Pixels per side.
    """

    def __init__(self, image_size: int) -> None:
        self.image_size = image_size

    def view(self, image: LazyImage, rng: np.random.Generator) -> tuple[Tensor, Parameters]:
        return to_tensor(resize_and_crop(image, self.image_size)), Parameters()
