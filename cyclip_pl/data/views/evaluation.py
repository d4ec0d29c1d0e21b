"""The transform of evaluations: no randomness."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image
from torch import Tensor

from cyclip_pl.data.images import to_rgb
from cyclip_pl.data.views.pixels import to_tensor

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


def resize_and_crop(image: Image.Image, size: int) -> Image.Image:
    """Resize the shorter side to `size`, keeping the ratio, and crop the centre."""
    width, height = image.size
    short, long = min(width, height), max(width, height)
    if long > _LONGEST_SIDE_RATIO * short:
        left, top = (width - short) / 2, (height - short) / 2
        box = (left, top, left + short, top + short)
        return image.resize((size, size), Image.Resampling.BICUBIC, box=box)
    if short != size:
        # Truncated, not rounded, as torchvision does.
        longer = int(size * long / short)
        resized = (size, longer) if width <= height else (longer, size)
        image = image.resize(resized, Image.Resampling.BICUBIC)
    left, top = round((image.width - size) / 2), round((image.height - size) / 2)
    return image.crop((left, top, left + size, top + size))
