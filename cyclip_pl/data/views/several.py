"""Several image views of one image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from cyclip_pl import checks
from cyclip_pl.data.lazy_image import LazyImage
from cyclip_pl.data.views.base import ImageView, ViewedSample, draw_caption
from cyclip_pl.data.views.parameters import LEGEND, vectors


class Several:
    """Views of the image, each drawn independently of the others, and one of its captions.

    Args:
        order: Names of `views`, one for each image view; the same name twice gives two draws.
        views: The image views, by name.

    Raises:
        ValueError: `order` is empty, or has a name that is not one of `views`.
    """

    text_views = 1
    parameters = len(LEGEND)

    def __init__(self, order: Sequence[str], **views: ImageView) -> None:
        if not order:
            raise ValueError(f"views.order=[]: must name one or more of {', '.join(views)}")
        for name in order:
            checks.one_of("views.order", name, views)
        self.views = [views[name] for name in order]
        self.image_views = len(self.views)

    def __call__(
        self, image: LazyImage, captions: list[str], rng: np.random.Generator
    ) -> ViewedSample:
        pixels, parameters = zip(*(view.view(image, rng) for view in self.views), strict=True)
        caption = draw_caption(captions, rng)
        return ViewedSample(torch.stack(pixels), [caption], vectors(parameters))
