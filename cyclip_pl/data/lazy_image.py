"""What views look at: a decoded image, or a JPEG whose regions are decoded when asked for."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageOps

from cyclip_pl.data.jpeg import Jpeg, reduction

LazyImage = Image.Image | Jpeg
"""Both have `size`: width and height."""
Pixels = Image.Image | np.ndarray
"""A region of an image: RGB, or uint8 (H, W, 3)."""
Box = tuple[float, float, float, float]
"""Left, upper, right, lower, in pixels of the image with its border."""

_SMALL = 128


def whole(image: LazyImage) -> Image.Image:
    """All of the image, RGB.

    Raises:
        Undecodable: It is a JPEG that cannot be decoded.
    """
    return image.whole() if isinstance(image, Jpeg) else image


def with_border(image: Image.Image, border: int, fill: int) -> Image.Image:
    """The image with `border` pixels of a grey value on all sides."""
    return ImageOps.expand(image, border, (fill,) * 3) if border else image


def region(
    image: LazyImage, box: Box, size: tuple[int, int], border: int = 0, fill: int = 255
) -> tuple[Pixels, Box]:
    """A region, resized, and its box: moved to whole pixels of the scale that it is decoded at.

    Args:
        image: The image.
        box: The region.
        size: Width and height of the result.
        border: Pixels put around the image first, of grey value `fill`.
        fill: See `border`.

    Raises:
        Undecodable: It is a JPEG that cannot be decoded.
    """
    if not _is_small(box):
        step = reduction(box[2] - box[0], box[3] - box[1], size, keep=1)
        left, upper, right, lower = (round((edge - border) / step) * step + border for edge in box)
        width, height = (side + 2 * border for side in image.size)
        box = max(0, left), max(0, upper), min(right, width), min(lower, height)
    return cut(image, box, size, border, fill), box


def cut(
    image: LazyImage, box: Box, size: tuple[int, int], border: int = 0, fill: int = 255
) -> Pixels:
    """A region with exactly this box, resized: bicubic, antialiased.

    torchvision and open_clip also cut first and then resize. In a small region half a pixel is
    visible; Pillow then cuts it at a fraction of a pixel. In a JPEG, edges inside the image must be
    whole pixels of the scale that it is decoded at, as `region` makes them.
    """
    if isinstance(image, Jpeg) and not _is_small(box):
        left, upper, right, lower = (int(edge) - border for edge in box)
        return image.part((left, upper, right, lower), size, fill)
    decoded = with_border(whole(image), border, fill)
    if _is_small(box):
        return decoded.resize(size, Image.Resampling.BICUBIC, box=box)
    return decoded.crop(box).resize(size, Image.Resampling.BICUBIC)


def _is_small(box: Box) -> bool:
    return min(box[2] - box[0], box[3] - box[1]) < _SMALL
