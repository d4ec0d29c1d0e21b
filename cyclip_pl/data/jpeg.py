"""JPEGs whose regions are decoded when asked for, at the scale that the region needs.

The pixels are Pillow's, made faster. libjpeg-turbo decodes without Pillow's copies, to the same
pixels. PyTorch's antialiased bicubic filter is Pillow's in vector instructions, at most one level
of 255 apart. Of a region far larger than its view, the codec decodes a smaller scale.
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
    """The factor by which the codec downscales a region of these sides: 1, 2, 4 or 8.

    The largest that leaves `keep` times the width and height of the view, `size`.
    """
    factor = 8
    while factor > 1 and (width < factor * keep * size[0] or height < factor * keep * size[1]):
        factor //= 2
    return factor


class Jpeg:
    """An undecoded image.

    Each scale is decoded once and kept, for several views. Pixels are a function of box and size
    alone, not of earlier calls.

    Attributes:
        size: Width and height.
        keep: See `reduction`. With 2, as in Pillow's thumbnails, the resizing that follows averages
            over the errors of the codec's scaling; with 1 they can be seen.
    """

    def __init__(self, data: bytes, size: tuple[int, int], keep: int) -> None:
        self.size = size
        self.keep = keep
        self._data = data
        self._decoded: dict[int, np.ndarray] = {}

    @classmethod
    def open(cls, data: bytes, keep: int = 2) -> Jpeg | None:
        """None for what Pillow must decode: other formats, CMYK, and headers that cannot be read.

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
        """All of the image, RGB.

        Raises:
            Undecodable: It cannot be decoded; `part` raises it too.
        """
        return Image.fromarray(self._pixels(1))

    def part(self, box: Box, size: tuple[int, int], fill: int = 255) -> np.ndarray:
        """A region, resized (bicubic, antialiased) without the pixels beyond its edges.

        Args:
            box: Its edges, which may lie outside the image.
            size: Width and height of the result.
            fill: Grey value outside the image.

        Returns:
            uint8, (height, width, 3).
        """
        factor = reduction(box[2] - box[0], box[3] - box[1], size, self.keep)
        # Edges of the image need not be multiples of the factor; other edges are, see `region`.
        left, upper = box[0] // factor, box[1] // factor
        right, lower = -(-box[2] // factor), -(-box[3] // factor)
        region = _cut(self._pixels(factor), (left, upper, right, lower), fill)
        # No copy: in PyTorch's `channels_last` the array is an image.
        planes_1CHW = torch.from_numpy(region).permute(2, 0, 1)[None]
        resized_1CHW = torch.nn.functional.interpolate(
            planes_1CHW, (size[1], size[0]), mode="bicubic", antialias=True
        )
        return resized_1CHW[0].permute(1, 2, 0).numpy()

    def _pixels(self, factor: int) -> np.ndarray:
        """uint8 RGB, each side divided by `factor` and rounded up."""
        if factor not in self._decoded:
            width, height = (-(-side // factor) for side in self.size)
            try:
                # The codec takes the smallest scale of at least this size, from 1/factor on.
                pixels = simplejpeg.decode_jpeg(
                    self._data, min_height=height, min_width=width, min_factor=factor
                )
            except ValueError:
                # The codec stops at any irregularity; Pillow decides what can be used.
                pixels = np.array(decode_image(self._data).reduce(factor))
            assert pixels.shape == (height, width, 3)
            self._decoded[factor] = pixels
        return self._decoded[factor]


def _cut(pixels: np.ndarray, box: Box, fill: int) -> np.ndarray:
    """A region of an (H, W, 3) array; `fill` outside of it."""
    left, upper, right, lower = box
    inside = pixels[max(0, upper) : lower, max(0, left) : right]
    if inside.shape[:2] == (lower - upper, right - left):
        return inside
    framed = np.full((lower - upper, right - left, 3), fill, dtype=np.uint8)
    top, start = max(0, -upper), max(0, -left)
    framed[top : top + inside.shape[0], start : start + inside.shape[1]] = inside
    return framed
