"""The transform of evaluations, without randomness."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from PIL import Image
from torch import Tensor

from cyclip_pl.data.lazy_image import LazyImage, Pixels, cut, region
from cyclip_pl.data.views.pixels import to_tensor
from cyclip_pl.images import check_size, to_rgb

# Of longer images the centre is cut out first. Otherwise a strip one pixel high would be enlarged
# to gigabytes.
_LONGEST_SIDE_RATIO = 16


def evaluation_transform(image_size: int) -> Callable[[Image.Image], Tensor]:
    """An image in any mode → uint8, (3, image_size, image_size), transparency on white.

    It resizes the shorter side (bicubic) and crops the centre: the pixels of open_clip's evaluation
    transform before it normalises.
    """
    return partial(_transformed, size=image_size)


def _transformed(image: Image.Image, size: int) -> Tensor:
    check_size(image.width, image.height)  # the caller opened it; it may not be decoded yet
    return to_tensor(resize_and_crop(to_rgb(image), size)).contiguous()


def resize_and_crop(image: LazyImage, size: int) -> Pixels:
    """Resize the shorter side to `size`, keeping the ratio, and crop the centre."""
    width, height = image.size
    short, long = min(width, height), max(width, height)
    if long > _LONGEST_SIDE_RATIO * short:
        left, top = (width - short) / 2, (height - short) / 2
        return region(image, (left, top, left + short, top + short), (size, size))[0]
    # Truncated, not rounded, as torchvision does.
    longer = int(size * long / short)
    resized = (size, longer) if width <= height else (longer, size)
    pixels = cut(image, (0, 0, width, height), resized)
    left, top = (round((side - size) / 2) for side in resized)
    if isinstance(pixels, Image.Image):
        return pixels.crop((left, top, left + size, top + size))
    return pixels[top : top + size, left : left + size]
