"""One image view: a way to look at a picture that says how it looked."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from torch import Tensor

from cyclip_pl.data.lazy_image import Picture
from cyclip_pl.data.views.interface import ViewedSample, draw_caption
from cyclip_pl.data.views.parameters import LEGEND, Parameters, vectors


class OneView(ABC):
    """One view of the picture and one of its captions; `Several` combines them."""

    image_views = 1
    text_views = 1
    parameters = len(LEGEND)

    @abstractmethod
    def view(self, picture: Picture, rng: np.random.Generator) -> tuple[Tensor, Parameters]:
        """A picture -> uint8, (3, H, W), and how it was made."""

    def __call__(
        self, picture: Picture, captions: list[str], rng: np.random.Generator
    ) -> ViewedSample:
        pixels, parameters = self.view(picture, rng)
        return ViewedSample(pixels[None], [draw_caption(captions, rng)], vectors([parameters]))
