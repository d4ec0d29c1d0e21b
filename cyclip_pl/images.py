"""Images from strangers: the only place that decodes them.

One list of kinds and one limit for training, evaluation and preparation. EXIF orientation is
ignored, as open_clip and clip_benchmark ignore it; `data.prepare` turns such images upright.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image

from cyclip_pl.files import reason

# Pillow's name of each kind, and the extensions of its members in shards. Without a list Pillow
# tries every plugin, and some of them start other programs.
FORMATS = {
    "JPEG": ("jpg", "jpeg"),
    "PNG": ("png",),
    "WEBP": ("webp",),
    "GIF": ("gif",),
    "BMP": ("bmp",),
    "TIFF": ("tif", "tiff"),
    "PPM": ("ppm", "pgm", "pbm"),
}
EXTENSIONS = tuple(extension for extensions in FORMATS.values() for extension in extensions)
MAX_PIXELS = 89_478_485  # at which Pillow begins to warn: 256 MiB of RGB
_BAND = 1 << 20  # pixels that are converted at a time

# What every model's preprocessing can convert; deeper images are scaled to 8 bits.
_MODES = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")


class Undecodable(ValueError):
    """Bytes that are not an image, or not one that is read here; the text is one line."""

    reason = "undecodable image"
    """What training counts it under."""


class TooLarge(Undecodable):
    """An image of more than `MAX_PIXELS` pixels."""

    reason = "image too large"


def open_image(data: bytes) -> Image.Image:
    """The image in its own mode, its pixels loaded; 16 bits per channel are scaled to 8.

    The first image if there are several, such as in the JPEGs of phones or an animation. `format`
    is a key of `FORMATS`.

    Raises:
        TooLarge: It has more than `MAX_PIXELS` pixels; checked before decoding.
        Undecodable: It is broken, or of another kind.
    """
    try:
        image: Image.Image = Image.open(io.BytesIO(data), formats=tuple(FORMATS))
        check_size(image.width, image.height)
        if image.format == "TIFF":  # whose decoder holds a tile, however small the image is
            tags = image.tag_v2  # type: ignore[attr-defined]
            check_size(tags.get(322, 1), tags.get(323, 1))
        image.load()
    except Undecodable:
        raise
    except Image.DecompressionBombError as error:
        raise TooLarge(reason(error)) from error
    except Image.UnidentifiedImageError as error:
        raise Undecodable(f"not an image of these kinds: {', '.join(FORMATS)}") from error
    except Exception as error:  # Pillow raises nearly anything for broken bytes
        raise Undecodable(f"broken image: {reason(error)}") from error
    kind = "JPEG" if image.format == "MPO" else image.format
    image = _eight_bits(image)
    if image.mode not in _MODES:
        raise Undecodable(f"{kind} image of colour mode {image.mode}, which is not read")
    image.format = kind
    return image


def check_size(width: int, height: int) -> None:
    """Raise TooLarge where there are more than `MAX_PIXELS` pixels."""
    if width * height > MAX_PIXELS:
        raise TooLarge(f"{width} x {height} pixels, more than {MAX_PIXELS:,}")


def decode_image(data: bytes) -> Image.Image:
    """As `open_image`, in RGB."""
    return to_rgb(open_image(data))


def to_rgb(image: Image.Image) -> Image.Image:
    """Any mode → RGB: transparency on white, 16 bits per channel scaled to 8."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    image = _eight_bits(image)
    if image.mode == "La":  # Pillow converts it to nothing else
        image = image.convert("LA")
    if image.has_transparency_data:
        return _in_bands(image, "RGB", _on_white)
    return image.convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    flat = Image.new("RGBA", image.size, "white")
    flat.alpha_composite(image.convert("RGBA"))
    return flat.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey of 16 bits by its high byte, which Pillow would clip at 255; floats are clipped."""
    if image.mode == "F":
        return image.convert("L")
    if not image.mode.startswith("I"):
        return image
    return _in_bands(image, "LA" if "transparency" in image.info else "L", _high_byte)


def _high_byte(image: Image.Image) -> Image.Image:
    pixels = np.asarray(image)
    grey = Image.fromarray((pixels >> 8).clip(0, 255).astype(np.uint8))
    if (transparent := image.info.get("transparency")) is not None:
        grey.putalpha(Image.fromarray(np.where(pixels == transparent, 0, 255).astype(np.uint8)))
    return grey


def _in_bands(
    image: Image.Image, mode: str, convert: Callable[[Image.Image], Image.Image]
) -> Image.Image:
    """Convert pixel by pixel, some rows at a time, since copies of all of a large image add up."""
    width, height = image.size
    rows = max(1, _BAND // width)
    converted = Image.new(mode, image.size)
    for top in range(0, height, rows):
        band = image.crop((0, top, width, min(top + rows, height)))
        converted.paste(convert(band), (0, top))
    return converted
