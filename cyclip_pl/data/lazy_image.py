"""What views are shown: a decoded picture, or a JPEG that is decoded as they ask for parts."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageOps

from cyclip_pl.data.jpeg import Jpeg, reduction

Picture = Image.Image | Jpeg
"""Both have `size`: width and height."""
Pixels = Image.Image | np.ndarray
"""Part of a picture: RGB, or uint8 (H, W, 3)."""

_SMALL = 128


def whole(picture: Picture) -> Image.Image:
    """All of it, RGB.

    Raises:
        Undecodable: A JPEG that cannot be decoded.
    """
    return picture.whole() if isinstance(picture, Jpeg) else picture


def with_border(image: Image.Image, border: int, fill: int) -> Image.Image:
    """With `border` pixels of a grey value on all sides."""
    return ImageOps.expand(image, border, (fill,) * 3) if border else image


def is_small(width: float, height: float) -> bool:
    """Of a part so small that half a pixel matters, and speed does not: Pillow cuts and resizes
    it, to a fraction of a pixel."""
    return min(width, height) < _SMALL


def part(
    picture: Picture,
    box: tuple[float, float, float, float],
    size: tuple[int, int],
    border: int = 0,
    fill: int = 255,
) -> Pixels:
    """A part, resized: bicubic, antialiased.

    Unless it is small, as torchvision's and open_clip's crops are made: cut out, then resized.

    Args:
        box: left, upper, right, lower of what `on_pixels` gave, in the picture with its border.
        size: width and height of the result.
        border: pixels put around the picture first, of grey value `fill`.

    Raises:
        Undecodable: A JPEG that cannot be decoded.
    """
    small = is_small(box[2] - box[0], box[3] - box[1])
    if isinstance(picture, Jpeg) and not small:
        left, upper, right, lower = (int(edge) - border for edge in box)
        return picture.part((left, upper, right, lower), size, fill)
    image = with_border(whole(picture), border, fill)
    if small:
        return image.resize(size, Image.Resampling.BICUBIC, box=box)
    return image.crop(box).resize(size, Image.Resampling.BICUBIC)


def on_pixels(
    box: tuple[float, float, float, float],
    size: tuple[int, int],
    frame: tuple[int, int],
    border: int = 0,
) -> tuple[float, float, float, float]:
    """The box with its edges on whole pixels, of whatever scale it may be decoded at.

    Args:
        box: as in `part`; a small one stays as it is.
        size: width and height of the result.
        frame: width and height of the picture with its border.
        border: its pixels.
    """
    width, height = box[2] - box[0], box[3] - box[1]
    if is_small(width, height):
        return box
    step = reduction(width, height, size, keep=1)
    left, upper, right, lower = (round((edge - border) / step) * step + border for edge in box)
    return max(0, left), max(0, upper), min(right, frame[0]), min(lower, frame[1])
