from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from cyclip_pl import images
from cyclip_pl.images import FORMATS, TooLarge, Undecodable, decode_image, open_image, to_rgb
from tests.helpers.images import KINDS, OTHERS, bomb, encoded, tiled


@pytest.mark.parametrize("kind", FORMATS)
def test_every_kind(kind: str) -> None:
    data = encoded(Image.new("RGB", (5, 4), (250, 250, 250)), kind)
    assert open_image(data).format == kind
    image = decode_image(data)
    assert image.mode == "RGB" and image.size == (5, 4)
    assert np.abs(np.asarray(image).astype(int) - 250).max() <= 2


@pytest.mark.parametrize("kind", KINDS)
def test_transparency_is_white_and_sixteen_bits_are_scaled(kind: str) -> None:
    data, left, right = KINDS[kind]
    image = decode_image(data)
    assert [image.getpixel((x, 9)) for x in (0, 31, 32, 63)] == [left, left, right, right]


def test_kinds_are_in_the_modes_that_they_are_named_for() -> None:
    for kind, (data, _, _) in KINDS.items():
        mode = kind.split()[0]
        if mode[0] in "RLPI":
            assert Image.open(io.BytesIO(data)).mode == mode


def test_half_transparent() -> None:
    image = decode_image(encoded(Image.new("RGBA", (1, 1), (255, 0, 0, 51)), "PNG"))
    assert image.getpixel((0, 0)) == (255, 204, 204)


def test_a_transparent_colour() -> None:
    plain = Image.new("RGB", (2, 1), (1, 2, 3))
    plain.putpixel((1, 0), (4, 5, 6))
    image = decode_image(encoded(plain, "PNG", transparency=(1, 2, 3)))
    assert [image.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (4, 5, 6)]


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    grey = Image.fromarray(np.array([[0, 0x1000, 0x8000, 0xFFFF]], dtype=np.uint16))
    image = decode_image(encoded(grey, "PNG"))
    assert [image.getpixel((x, 0)) for x in range(4)] == [(v,) * 3 for v in (0, 16, 128, 255)]


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "La", "P", "PA", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "I", "F"]
)
def test_any_mode_becomes_rgb(mode: str) -> None:
    assert to_rgb(Image.new(mode, (3, 2))).mode == "RGB"


@pytest.mark.parametrize("read", [open_image, decode_image])
def test_exif_orientation_is_ignored(read: Callable[[bytes], Image.Image]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert read(encoded(Image.new("RGB", (6, 4)), exif=exif)).size == (6, 4)


def test_the_first_image_of_several() -> None:
    red, blue = Image.new("RGB", (6, 4), "red"), Image.new("RGB", (3, 2), "blue")
    phone = open_image(encoded(red, "MPO", save_all=True, append_images=[blue]))
    assert phone.format == "JPEG" and phone.size == (6, 4)
    animation = encoded(red, "GIF", save_all=True, append_images=[blue.resize((6, 4))])
    assert decode_image(animation).getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize("data", [b"", b"text", *OTHERS.values()])
def test_other_kinds_are_refused_and_the_known_ones_named(data: bytes) -> None:
    with pytest.raises(Undecodable, match="not an image of these kinds: JPEG, PNG, WEBP, GIF"):
        open_image(data)


@pytest.mark.parametrize(
    "data",
    [
        encoded(Image.effect_noise((64, 64), 50), "PNG")[:900],
        encoded(Image.effect_noise((64, 64), 50))[:900],
        encoded(Image.new("LAB", (9, 9)), "TIFF"),
    ],
)
def test_what_cannot_be_decoded_is_one_line(data: bytes) -> None:
    with pytest.raises(Undecodable, match="broken image: .*truncated|colour mode LAB") as error:
        open_image(data)
    assert "\n" not in str(error.value) and error.value.reason == "undecodable image"


@pytest.mark.parametrize("side", [9_500, 60_000])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_too_large_is_refused_before_decoding(side: int) -> None:
    with pytest.raises(TooLarge, match="pixels"):
        open_image(bomb(side, side))


def test_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 20)
    decode_image(encoded(Image.new("RGB", (5, 4))))
    with pytest.raises(TooLarge, match="7 x 3 pixels, more than 20"):
        decode_image(encoded(Image.new("RGB", (7, 3))))


def test_a_tile_is_held_to_the_limit_too() -> None:
    """Pillow's decoder holds a whole tile: 0.7 MB took 750 MB for 100 x 100 pixels."""
    with pytest.raises(TooLarge, match="16000 x 16000 pixels"):
        open_image(tiled(16_000))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "I;16", "I"])
def test_bands_change_no_pixel(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).integers(0, 256, (37, 23, 4), dtype=np.uint8)
    if mode.startswith("I"):
        image = Image.fromarray(
            values[..., 0].astype(np.uint16 if mode == "I;16" else np.int32) * 257
        )
        image.info["transparency"] = int(values[0, 0, 0]) * 257
    else:
        image = Image.fromarray(values).convert(mode)
        if mode == "P":
            image.info["transparency"] = 3
    whole = to_rgb(image)
    monkeypatch.setattr(images, "_BAND", 100)
    assert np.array_equal(np.asarray(to_rgb(image)), np.asarray(whole))
