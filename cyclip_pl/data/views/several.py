"""Several image views of one picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from cyclip_pl.data.lazy_image import Picture
from cyclip_pl.data.views.base import OneView
from cyclip_pl.data.views.interface import ViewedSample, draw_caption
from cyclip_pl.data.views.parameters import LEGEND, vectors


class Several:
    """Views of the picture, each drawn independently of the others, and one of its captions.

    Args:
        order: names of `views`, one for each image view; a name that comes twice is drawn twice.
        views: the kinds of view, by name.

    Raises:
        ValueError: `order` is empty, or names what is not there.
    """

    text_views = 1
    parameters = len(LEGEND)

    def __init__(self, order: Sequence[str], **views: OneView) -> None:
        if unknown := [name for name in order if name not in views]:
            raise ValueError(f"views.order: no view is named {unknown[0]}; there is {[*views]}")
        if not order:
            raise ValueError(f"views.order names one view or more of {[*views]}")
        self.views = [views[name] for name in order]

    @property
    def image_views(self) -> int:
        return len(self.views)

    def __call__(
        self, picture: Picture, captions: list[str], rng: np.random.Generator
    ) -> ViewedSample:
        pixels, parameters = zip(*(view.view(picture, rng) for view in self.views), strict=True)
        caption = draw_caption(captions, rng)
        return ViewedSample(torch.stack(pixels), [caption], vectors(parameters))
