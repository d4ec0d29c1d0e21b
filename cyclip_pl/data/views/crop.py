"""The geometric part of augmentations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from cyclip_pl import checks
from cyclip_pl.data.lazy_image import Picture, Pixels, on_pixels, part, whole, with_border
from cyclip_pl.data.views.parameters import Drawn
from cyclip_pl.data.views.pixels import mirrored

_TRIES = 10


@dataclass(frozen=True)
class RandomCrop:
    """A random part of the picture, resized to a square, perhaps mirrored and turned.

    Attributes:
        image_size: pixels of a side.
        scale: least and greatest share of the picture's area.
        ratio: least and greatest width / height of the part.
        flip: probability of a mirror image.
        rotation: greatest angle either way, in degrees; 0 for none.
        fill: grey value (0 to 255) of the margin, and where a turned part leaves the picture.
        margin: blank border put around the picture first, as a share of its shorter side, so that
            a part can show the picture smaller as well.
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
        if not 0 <= self.rotation <= 180:
            raise ValueError(
                f"views.rotation is 0 to 180 degrees either way, not {self.rotation!r}"
            )
        if not 0 <= self.fill <= 255:
            raise ValueError(f"views.fill is a grey value of 0 to 255, not {self.fill!r}")
        if not 0 <= self.margin <= 1:
            raise ValueError(f"views.margin is a share of 0 to 1, not {self.margin!r}")

    def __call__(self, picture: Picture, rng: np.random.Generator) -> tuple[Pixels, Drawn]:
        """-> `image_size` squared, and what was drawn."""
        width, height = picture.size
        border = round(self.margin * min(width, height))
        framed_width, framed_height = frame = (width + 2 * border, height + 2 * border)
        size = (self.image_size, self.image_size)
        box = self.box(framed_width, framed_height, rng)
        if not self.rotation:
            box = on_pixels(box, size, frame, border)
        flipped = rng.random() < self.flip
        angle = (2 * rng.random() - 1) * self.rotation if self.rotation else 0.0
        left, upper, right, lower = box
        drawn = {
            # The margin, the same on all sides, moves no centre.
            "x": (left + right - framed_width) / (2 * width),
            "y": (upper + lower - framed_height) / (2 * height),
            "log_width": math.log((right - left) / width),
            "log_height": math.log((lower - upper) / height),
            "flip": float(flipped),
            "rotation": angle / 180,
        }
        if self.rotation:
            image = with_border(whole(picture), border, self.fill)
            return self._turned(image, box, angle, flipped), drawn
        pixels = part(picture, box, size, border, self.fill)
        return (mirrored(pixels) if flipped else pixels), drawn

    def box(
        self, width: int, height: int, rng: np.random.Generator
    ) -> tuple[float, float, float, float]:
        """Left, upper, right, lower of a random part.

        The area is uniform in `scale` and the logarithm of width / height in that of `ratio`
        ("Going deeper with convolutions", arXiv 1409.4842, in torchvision's form: where ten draws
        do not fit the picture, the largest centred part of an allowed ratio).
        """
        low, high = math.log(self.ratio[0]), math.log(self.ratio[1])
        for _ in range(_TRIES):
            area, shape, x, y = rng.random(4).tolist()
            area = width * height * (self.scale[0] + area * (self.scale[1] - self.scale[0]))
            ratio = math.exp(low + shape * (high - low))
            w, h = math.sqrt(area * ratio), math.sqrt(area / ratio)
            if w <= width and h <= height:
                left, upper = x * (width - w), y * (height - h)
                return left, upper, min(left + w, width), min(upper + h, height)
        ratio = min(max(width / height, self.ratio[0]), self.ratio[1])
        w, h = min(width, height * ratio), min(height, width / ratio)
        left, upper = (width - w) / 2, (height - h) / 2
        return left, upper, min(left + w, width), min(upper + h, height)

    def _turned(
        self,
        image: Image.Image,
        box: tuple[float, float, float, float],
        angle: float,
        flipped: bool,
    ) -> Image.Image:
        left, upper, right, lower = box
        # Bilinear sampling sees two pixels a side: shrink by whole factors until that is enough.
        factor = max(1, int(min(right - left, lower - upper) / self.image_size))
        if factor > 1:
            image = image.reduce(factor)
            left, upper, right, lower = (edge / factor for edge in box)
        # Output pixel -> input pixel: scale (mirror included), then turn about the part's centre.
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
