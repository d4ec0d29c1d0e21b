"""Colour augmentations as one affine map of RGB."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from cyclip_pl import checks
from cyclip_pl.data.lazy_image import Pixels
from cyclip_pl.data.views.parameters import Drawn
from cyclip_pl.data.views.pixels import to_image

LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class RandomColour:
    """Jitter of brightness, contrast, saturation and hue, and conversion to grey.

    Attributes:
        brightness, contrast, saturation: The factor is uniform in 1 ± this, and not negative.
        hue: The rotation about the grey axis is uniform in ± this, as a share of the full circle.
        jitter: Probability of these four.
        grayscale: Probability of a grey image.
    """

    brightness: float
    contrast: float
    saturation: float
    hue: float
    jitter: float
    grayscale: float

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation"):
            checks.number(f"views.{name}", getattr(self, name), least=0)
        checks.number("views.hue", self.hue, least=0, most=0.5)
        checks.probability("views.jitter", self.jitter)
        checks.probability("views.grayscale", self.grayscale)

    def __call__(self, pixels: Pixels, rng: np.random.Generator) -> tuple[Pixels, Drawn]:
        """RGB → RGB, and what was drawn."""
        jitters, greys, *draws = rng.random(6).tolist()
        jittered, grey = jitters < self.jitter, greys < self.grayscale
        if not (jittered or grey):
            return pixels, {}
        brightness, contrast, saturation, hue = 1.0, 1.0, 1.0, 0.0
        if jittered:
            first, second, third, fourth = (2 * draw - 1 for draw in draws)
            brightness = max(0.0, 1 + first * self.brightness)
            contrast = max(0.0, 1 + second * self.contrast)
            saturation = max(0.0, 1 + third * self.saturation)
            hue = fourth * self.hue
        image = to_image(pixels)
        # The mean colour; one pixel by a box filter costs a tenth of numpy's mean.
        mean = image.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
        assert isinstance(mean, tuple)
        matrix = colour_matrix(mean, brightness, contrast, saturation, hue, grey)
        return image.convert("RGB", matrix), {
            "brightness": brightness - 1,
            "contrast": contrast - 1,
            "saturation": saturation - 1,
            "hue": hue,
            "grayscale": float(grey),
        }


def colour_matrix(
    mean: tuple[float, ...],
    brightness: float,
    contrast: float,
    saturation: float,
    hue: float,
    grayscale: bool,
) -> tuple[float, ...]:
    """The 3x4 matrix, row by row, of the adjustments in this order, without clipping in between.

    Let l be the luma weights, m the luma of the image's mean colour and R(h) the rotation about the
    grey axis:

        brightness  x → b x
        contrast    x → c x + (1 - c) m 1
        saturation  x → s x + (1 - s) (l·x) 1
        hue         x → R x
        grey        x → (l·x) 1

    torchvision defines them so, except the hue, which it changes in HSV. The rows of R and the
    weights l sum to one; the product is x → c b [s R + (1 - s) 1 lᵀ] x + (1 - c) b m 1.
    """
    cos, sin = math.cos(2 * math.pi * hue), math.sin(2 * math.pi * hue)
    same, swing = (1 - cos) / 3, sin / math.sqrt(3)
    # The rotation is circulant: row i is (p, q, r), shifted by i.
    p, q, r = cos + same, same - swing, same + swing
    gain = contrast * brightness
    grey = [gain * (1 - saturation) * weight for weight in LUMA]
    p, q, r = (gain * saturation * entry for entry in (p, q, r))
    rows = [
        [p + grey[0], q + grey[1], r + grey[2]],
        [r + grey[0], p + grey[1], q + grey[2]],
        [q + grey[0], r + grey[1], p + grey[2]],
    ]
    if grayscale:
        luma = [sum(LUMA[i] * rows[i][j] for i in range(3)) for j in range(3)]
        rows = [luma] * 3
    level = sum(weight * channel for weight, channel in zip(LUMA, mean, strict=True))
    offset = (1 - contrast) * brightness * level
    return tuple(value for row in rows for value in (*row, offset))
