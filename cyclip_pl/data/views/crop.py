"""The geometric part of augmentations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from cyclip_pl import checks
from cyclip_pl.data.lazy_image import Box, LazyImage, Pixels, region, whole, with_border
from cyclip_pl.data.views.parameters import Drawn
from cyclip_pl.data.views.pixels import mirrored

_TRIES = 10


@dataclass(frozen=True)
class RandomCrop:
    """A random region of the image, resized to a square, perhaps mirrored and rotated.

    Attributes:
        image_size: Pixels per side.
        scale: Least and greatest share of the image's area.
        ratio: Least and greatest width / height of the region.
        flip: Probability of a mirror image.
        rotation: Greatest angle in either direction, in degrees; 0 for none.
        fill: Grey value (0 to 255) of the margin, and of pixels outside the image.
        margin: Blank border put around the image first, as a share of its shorter side. With it a
            view can show the image smaller.
    """

    image_size: int
    scale: Sequence[float]
    ratio: Sequence[float]
    flip: float
    rotation: float = 0.0
    fill: int = 255
    margin: float = 0.0

    def __post_init__(self) -> None:
        checks.interval("views.scale", self.scale, 0.0, 1.0)
        checks.interval("views.ratio", self.ratio, 0.0, math.inf)
        checks.probability("views.flip", self.flip)
        checks.number("views.rotation", self.rotation, least=0, most=180)
        checks.number("views.fill", self.fill, least=0, most=255)
        checks.probability("views.margin", self.margin)

    def __call__(self, image: LazyImage, rng: np.random.Generator) -> tuple[Pixels, Drawn]:
        """A square of `image_size` pixels per side, and what was drawn."""
        width, height = image.size
        border = round(self.margin * min(width, height))
        framed_width, framed_height = width + 2 * border, height + 2 * border
        box = self.box(framed_width, framed_height, rng)
        flipped, angle = rng.random() < self.flip, 0.0
        pixels: Pixels
        if self.rotation:
            angle = (2 * rng.random() - 1) * self.rotation
            framed = with_border(whole(image), border, self.fill)
            pixels = self._turned(framed, box, angle, flipped)
        else:
            pixels, box = region(image, box, (self.image_size,) * 2, border, self.fill)
            pixels = mirrored(pixels) if flipped else pixels
        left, upper, right, lower = box
        return pixels, {
            # The margin is equal on all sides, so it moves no centre.
            "x": (left + right - framed_width) / (2 * width),
            "y": (upper + lower - framed_height) / (2 * height),
            "log_width": math.log((right - left) / width),
            "log_height": math.log((lower - upper) / height),
            "flip": float(flipped),
            "rotation": angle / 180,
        }

    def box(self, width: int, height: int, rng: np.random.Generator) -> Box:
        """The box of a random region.

        The area is uniform in `scale`, the logarithm of width / height is uniform in that of
        `ratio` ("Going deeper with convolutions", arXiv 1409.4842). As in torchvision, if ten draws
        do not fit into the image, it is the largest centred region with an allowed ratio.
        """
        low, high = math.log(self.ratio[0]), math.log(self.ratio[1])
        for _ in range(_TRIES):
            area, shape, x, y = rng.random(4).tolist()
            area = width * height * (self.scale[0] + area * (self.scale[1] - self.scale[0]))
            ratio = math.exp(low + shape * (high - low))
            w, h = math.sqrt(area * ratio), math.sqrt(area / ratio)
            if w <= width and h <= height:
                break
        else:
            ratio = min(max(width / height, self.ratio[0]), self.ratio[1])
            w, h, x, y = min(width, height * ratio), min(height, width / ratio), 0.5, 0.5
        left, upper = x * (width - w), y * (height - h)
        return left, upper, min(left + w, width), min(upper + h, height)

    def _turned(self, image: Image.Image, box: Box, angle: float, flipped: bool) -> Image.Image:
        left, upper, right, lower = box
        # Bilinear sampling sees 2 x 2 pixels: shrink by a whole factor until that is enough.
        factor = max(1, int(min(right - left, lower - upper) / self.image_size))
        if factor > 1:
            image = image.reduce(factor)
            left, upper, right, lower = (edge / factor for edge in box)
        # Output pixel → input pixel: scale and mirror, then rotate about the region's centre.
        x_scale, y_scale = (right - left) / self.image_size, (lower - upper) / self.image_size
        x_scale = -x_scale if flipped else x_scale
        cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        a, b, d, e = cos * x_scale, -sin * y_scale, sin * x_scale, cos * y_scale
        half = self.image_size / 2
        c = (left + right) / 2 - (a + b) * half
        f = (upper + lower) / 2 - (d + e) * half
        return image.transform(
            (self.image_size, self.image_size),
            Image.Transform.AFFINE,
            (a, b, c, d, e, f),
            Image.Resampling.BILINEAR,
            fillcolor=(self.fill,) * 3,
        )
