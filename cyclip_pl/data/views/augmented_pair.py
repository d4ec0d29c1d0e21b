"""The views of CyCLIP's augmented variant."""

from __future__ import annotations

import numpy as np
import torch

from cyclip_pl.data.lazy_image import LazyImage, whole
from cyclip_pl.data.views.auto_augment import auto_augment
from cyclip_pl.data.views.base import ViewedSample, draw_caption
from cyclip_pl.data.views.eda import EDA
from cyclip_pl.data.views.evaluation import resize_and_crop
from cyclip_pl.data.views.pixels import to_tensor


class AugmentedPair:
    """The image as evaluations see it and an AutoAugmented one; a caption and its EDA.

    CyCLIP's code trains on these with `--inmodal`. It augments each image and caption once; here
    they are augmented each time that the sample is drawn. As in that code, AutoAugment comes before
    resizing and cropping. `parameters.LEGEND` has no entries for its operations, so
    `augmentation` is None.

    Args:
        image_size: Pixels per side.
        alpha: Share of the caption's words that EDA edits.
    """

    image_views = 2
    text_views = 2
    parameters = 0

    def __init__(self, image_size: int, alpha: float = 0.1) -> None:
        self.image_size = image_size
        self.eda = EDA(alpha)

    def __call__(
        self, image: LazyImage, captions: list[str], rng: np.random.Generator
    ) -> ViewedSample:
        caption = draw_caption(captions, rng)
        image = whole(image)
        shown = (image, auto_augment(image, rng))
        views = [to_tensor(resize_and_crop(view, self.image_size)) for view in shown]
        return ViewedSample(torch.stack(views), [caption, self.eda(caption, rng)])
