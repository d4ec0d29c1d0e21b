"""Pictures from strangers: bytes -> RGB."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from cyclip_pl.data.skipped import Unusable, first_line

# Named, because Pillow would otherwise try every plugin, and some start other programs.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
MAX_PIXELS = 1 << 26


class TooLarge(ValueError):
    """More pixels than a training picture can sensibly have."""


def decode_image(data: bytes) -> Image.Image:
    """The picture in RGB, transparency on white; an EXIF orientation is ignored, as in open_clip.

    Raises:
        TooLarge: it would decode to more than `MAX_PIXELS`.
        Exception: whatever Pillow raises for what is not a picture.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise TooLarge(str(error)) from error
    if image.width * image.height > MAX_PIXELS:
        raise TooLarge(f"{image.width} x {image.height} pixels")
    image.load()
    return to_rgb(image)


def usable_image(data: bytes) -> Image.Image:
    """As `decode_image`.

    Raises:
        Unusable: with its reason.
    """
    try:
        return decode_image(data)
    except TooLarge as error:
        raise Unusable("image too large", str(error)) from error
    except Exception as error:  # Pillow raises nearly anything for broken bytes
        raise Unusable("undecodable image", first_line(error)) from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Any mode -> RGB: transparency on white, 16 bits a channel brought to 8."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode == "La":  # Pillow converts it to nothing but this
        image = image.convert("LA")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        flat = Image.new("RGBA", image.size, "white")
        flat.alpha_composite(rgba)
        return flat.convert("RGB")
    if image.mode.startswith("I"):
        # Grey of 16 bits; Pillow's conversion would clip it at 255.
        return Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8)).convert(
            "RGB"
        )
    return image.convert("RGB")
