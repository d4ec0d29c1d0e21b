"""The views of CyCLIP's augmented variant."""

from __future__ import annotations

import numpy as np
import torch

from cyclip_pl.data.lazy_image import Picture, whole
from cyclip_pl.data.views.auto_augment import auto_augment
from cyclip_pl.data.views.eda import EDA
from cyclip_pl.data.views.evaluation import resize_and_crop
from cyclip_pl.data.views.interface import ViewedSample, draw_caption
from cyclip_pl.data.views.pixels import to_tensor


class AugmentedPair:
    """The picture as evaluations see it and an AutoAugmented one, a caption and its EDA.

    What CyCLIP's code trains on with `--inmodal`; there the augmented picture and caption are made
    once, here for each time that a sample is drawn. As there, AutoAugment comes before the resizing
    and cropping. Its operations are not entries of `parameters.LEGEND`: nothing is reported.

    Args:
        image_size: pixels of a side.
        alpha: share of the caption's words that EDA edits.
    """

    image_views = 2
    text_views = 2
    parameters = 0

    def __init__(self, image_size: int, alpha: float = 0.1) -> None:
        self.image_size = image_size
        self.eda = EDA(alpha)

    def __call__(
        self, picture: Picture, captions: list[str], rng: np.random.Generator
    ) -> ViewedSample:
        caption = draw_caption(captions, rng)
        image = whole(picture)
        shown = (image, auto_augment(image, rng))
        views = [to_tensor(resize_and_crop(view, self.image_size)) for view in shown]
        return ViewedSample(torch.stack(views), [caption, self.eda(caption, rng)])
