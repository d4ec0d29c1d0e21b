"""JPEG pictures that are decoded when a part is asked for, at the scale that the part needs.

Pillow's pixels at the codec's speed: libjpeg-turbo without Pillow's copies (the same pixels), and
PyTorch's antialiased bicubic filter, which is Pillow's in vector instructions (a level at most
apart). Where a part is far larger than its view, the codec itself scales it down.
"""

from __future__ import annotations

import numpy as np
import simplejpeg
import torch
from PIL import Image

from cyclip_pl.images import check_size, decode_image

Box = tuple[int, int, int, int]
"""Left, upper, right, lower, in whole pixels."""


def reduction(width: float, height: float, size: tuple[int, int], keep: int) -> int:
    """By how much a part of these sides is scaled down as it is decoded: 1, 2, 4 or 8.

    The most that leaves it `keep` times the width and height of its view, `size`.
    """
    least = 2 * keep * size[0], 2 * keep * size[1]
    factor = 1
    while factor < 8 and width >= factor * least[0] and height >= factor * least[1]:
        factor *= 2
    return factor


class Jpeg:
    """An undecoded picture.

    What is decoded is kept, by scale: a picture of several views is decoded once. Pixels are a
    function of box and size alone, whatever was asked before.

    Attributes:
        size: width and height.
        keep: see `reduction`. With 2, as in Pillow's thumbnails, the filter that follows averages
            over what the codec's scaling does worse; with 1 that is seen.
    """

    def __init__(self, data: bytes, size: tuple[int, int], keep: int) -> None:
        self.size = size
        self.keep = keep
        self._data = data
        self._decoded: dict[int, np.ndarray] = {}

    @classmethod
    def open(cls, data: bytes, keep: int = 2) -> Jpeg | None:
        """None for what is left to Pillow: other formats, CMYK, and headers that cannot be read.

        Raises:
            TooLarge: It has more than `images.MAX_PIXELS` pixels.
        """
        if not data.startswith(b"\xff\xd8\xff"):
            return None
        try:
            height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        except ValueError:
            return None
        if colours not in ("YCbCr", "Gray"):
            return None
        check_size(width, height)
        return cls(data, (width, height), keep)

    def whole(self) -> Image.Image:
        """All of it, RGB.

        Raises:
            Undecodable: It cannot be decoded; as `part` does.
        """
        return Image.fromarray(self._pixels(1))

    def part(self, box: Box, size: tuple[int, int], fill: int = 255) -> np.ndarray:
        """A part resized: bicubic, antialiased, nothing beyond its edges taken into account.

        Args:
            box: its edges; what lies outside the picture is `fill`.
            size: width and height of the result.

        Returns:
            uint8, (height, width, 3).
        """
        factor = reduction(box[2] - box[0], box[3] - box[1], size, self.keep)
        # Edges of the picture itself need not be multiples of the factor: their pixels are whole.
        left, upper = box[0] // factor, box[1] // factor
        right, lower = -(-box[2] // factor), -(-box[3] // factor)
        region = _cut(self._pixels(factor), (left, upper, right, lower), fill)
        # A view of the array as a picture in PyTorch's `channels_last`, and back.
        planes_1CHW = torch.from_numpy(region).permute(2, 0, 1)[None]
        resized_1CHW = torch.nn.functional.interpolate(
            planes_1CHW, (size[1], size[0]), mode="bicubic", antialias=True
        )
        return resized_1CHW[0].permute(1, 2, 0).numpy()

    def _pixels(self, factor: int) -> np.ndarray:
        """uint8 RGB, the sides divided by `factor` and rounded up."""
        if factor not in self._decoded:
            self._decoded[factor] = self._decode(factor)
        return self._decoded[factor]

    def _decode(self, factor: int) -> np.ndarray:
        width, height = (-(-side // factor) for side in self.size)
        try:
            # The smallest of the codec's scales that is large enough, from 1/factor on.
            pixels = simplejpeg.decode_jpeg(
                self._data, min_height=height, min_width=width, min_factor=factor
            )
        except ValueError:
            # The codec stops at the least irregularity; what can be used is for Pillow to say.
            pixels = np.array(decode_image(self._data).reduce(factor))
        assert pixels.shape == (height, width, 3)
        return pixels


def _cut(pixels: np.ndarray, box: Box, fill: int) -> np.ndarray:
    """A part of an (H, W, 3) array; what lies outside of it is `fill`."""
    left, upper, right, lower = box
    height, width = pixels.shape[:2]
    inside = pixels[max(0, upper) : lower, max(0, left) : right]
    if inside.shape[:2] == (lower - upper, right - left):
        return inside
    framed = np.full((lower - upper, right - left, 3), fill, dtype=np.uint8)
    top, start = max(0, -upper), max(0, -left)
    framed[top : top + inside.shape[0], start : start + inside.shape[1]] = inside
    return framed
