"""The transform of evaluations: no randomness."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image
from torch import Tensor

from cyclip_pl.data.lazy_image import Picture, Pixels, on_pixels, part
from cyclip_pl.data.views.pixels import to_tensor
from cyclip_pl.images import to_rgb

# Beyond it the part that the crop keeps is cut out first: a strip of one pixel's height would
# otherwise be enlarged to gigabytes.
_LONGEST_SIDE_RATIO = 16


@dataclass(frozen=True)
class EvaluationTransform:
    """See `evaluation_transform`."""

    image_size: int

    def __call__(self, image: Image.Image) -> Tensor:
        return to_tensor(resize_and_crop(to_rgb(image), self.image_size)).contiguous()


def evaluation_transform(image_size: int) -> Callable[[Image.Image], Tensor]:
    """A picture in any mode -> uint8, (3, image_size, image_size), transparency on white.

    The pixels are those of open_clip's evaluation transform before it normalises: the shorter side
    resized (bicubic), then a centre crop.
    """
    return EvaluationTransform(image_size)


def resize_and_crop(picture: Picture, size: int) -> Pixels:
    """Resize the shorter side to `size`, keeping the ratio, and crop the centre."""
    width, height = picture.size
    short, long = min(width, height), max(width, height)
    if long > _LONGEST_SIDE_RATIO * short:
        left, top = (width - short) / 2, (height - short) / 2
        box = on_pixels((left, top, left + short, top + short), (size, size), picture.size)
        return part(picture, box, (size, size))
    # Truncated, not rounded, as torchvision does.
    longer = int(size * long / short)
    resized = (size, longer) if width <= height else (longer, size)
    pixels = part(picture, (0, 0, width, height), resized)
    left, top = (round((side - size) / 2) for side in resized)
    if isinstance(pixels, Image.Image):
        return pixels.crop((left, top, left + size, top + size))
    return pixels[top : top + size, left : left + size]
