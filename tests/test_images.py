from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from cyclip_pl import images
from cyclip_pl.images import TooLarge, decode_image, to_rgb
from tests.helpers.images import bomb


def encoded(image: Image.Image, format: str = "PNG", **settings: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **settings)
    return stream.getvalue()


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_formats(format: str) -> None:
    image = decode_image(encoded(Image.new("RGB", (5, 4), (250, 250, 250)), format))
    assert image.mode == "RGB" and image.size == (5, 4)
    assert np.abs(np.asarray(image).astype(int) - 250).max() <= 2


def test_transparency_is_white() -> None:
    rgba = Image.new("RGBA", (2, 1), (255, 0, 0, 0))
    rgba.putpixel((1, 0), (255, 0, 0, 51))
    image = decode_image(encoded(rgba))
    assert image.getpixel((0, 0)) == (255, 255, 255)
    assert image.getpixel((1, 0)) == (255, 204, 204)


def test_transparent_palette() -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    image = decode_image(encoded(palette, transparency=0))
    assert [image.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (40, 50, 60)]


def test_a_transparent_colour() -> None:
    plain = Image.new("RGB", (2, 1), (1, 2, 3))
    plain.putpixel((1, 0), (4, 5, 6))
    image = decode_image(encoded(plain, transparency=(1, 2, 3)))
    assert [image.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (4, 5, 6)]


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    grey = Image.fromarray(np.array([[0, 0x1000, 0x8000, 0xFFFF]], dtype=np.uint16))
    image = decode_image(encoded(grey))
    assert [image.getpixel((x, 0)) for x in range(4)] == [(v,) * 3 for v in (0, 16, 128, 255)]


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "La", "P", "PA", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "I", "F"]
)
def test_any_mode(mode: str) -> None:
    assert to_rgb(Image.new(mode, (3, 2))).mode == "RGB"


def test_exif_orientation_is_ignored() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode_image(encoded(Image.new("RGB", (6, 4)), "JPEG", exif=exif)).size == (6, 4)


@pytest.mark.parametrize("data", [b"", b"text", encoded(Image.effect_noise((64, 64), 50))[:900]])
def test_what_is_no_picture_raises(data: bytes) -> None:
    with pytest.raises(Exception, match="."):
        decode_image(data)


def test_formats_that_start_programs_are_not_tried() -> None:
    with pytest.raises(Image.UnidentifiedImageError):
        decode_image(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n")


@pytest.mark.parametrize("side", [9_000, 60_000])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_bombs_are_refused_before_decoding(side: int) -> None:
    with pytest.raises(TooLarge):
        decode_image(bomb(side, side))


def test_the_limit(monkeypatch) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 20)
    decode_image(encoded(Image.new("RGB", (5, 4))))
    with pytest.raises(TooLarge, match="7 x 3 pixels"):
        decode_image(encoded(Image.new("RGB", (7, 3))))
