"""Gaussian blur."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import ImageFilter

from cyclip_pl import checks
from cyclip_pl.data.lazy_image import Pixels
from cyclip_pl.data.views.parameters import Drawn
from cyclip_pl.data.views.pixels import to_image

# As in papers, sigmas are for views with this many pixels per side.
SIDE = 224


@dataclass(frozen=True)
class RandomBlur:
    """Gaussian blur of some images.

    Attributes:
        image_size: Pixels per side.
        probability: Of blur.
        sigma: Least and greatest standard deviation, in pixels of a view with 224 pixels per side;
            scaled with `image_size`.
    """

    image_size: int
    probability: float
    sigma: Sequence[float]

    def __post_init__(self) -> None:
        checks.probability("views.blur", self.probability)
        checks.interval("views.blur_sigma", self.sigma, 0.0, math.inf)

    def __call__(self, pixels: Pixels, rng: np.random.Generator) -> tuple[Pixels, Drawn]:
        """RGB → RGB, and what was drawn."""
        # At probability 0 nothing is drawn.
        if not self.probability or rng.random() >= self.probability:
            return pixels, {}
        sigma = self.sigma[0] + rng.random() * (self.sigma[1] - self.sigma[0])
        radius = sigma * self.image_size / SIDE
        return to_image(pixels).filter(ImageFilter.GaussianBlur(radius)), {"blur": sigma}
