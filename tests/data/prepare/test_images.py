from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from cyclip_pl.data.prepare.images import read_image
from cyclip_pl.images import FORMATS
from tests.helpers.images import OTHERS, bomb, encoded


def ramp(width: int = 60, height: int = 40, mode: str = "RGB") -> Image.Image:
    values = np.linspace(0, 255, width * height * 3).astype(np.uint8).reshape(height, width, 3)
    return Image.fromarray(values).convert(mode)


def save(path: Path, image: Image.Image, kind: str, **options: object) -> Path:
    path.write_bytes(encoded(image, kind, **options))
    return path


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "a camera"
    return exif


@pytest.mark.parametrize("kind", FORMATS)
def test_bytes_pass_unchanged_and_the_extension_is_of_the_content(
    tmp_path: Path, kind: str
) -> None:
    path = save(tmp_path / "named.wrong", ramp(), kind)
    assert read_image(path) == (FORMATS[kind][0], path.read_bytes())
    # Not larger than asked for: still unchanged.
    assert read_image(path, shorter_side=40) == (FORMATS[kind][0], path.read_bytes())


@pytest.mark.parametrize("kind", FORMATS)
def test_resized_to_the_shorter_side_in_its_own_format(tmp_path: Path, kind: str) -> None:
    extension, content = read_image(save(tmp_path / "a", ramp(61, 40), kind), shorter_side=20)
    assert extension == FORMATS[kind][0]
    with Image.open(io.BytesIO(content)) as image:
        assert (image.format, image.size) == (kind, (30, 20))
        wanted = np.asarray(ramp(61, 40).resize((30, 20), Image.Resampling.BICUBIC), float)
        assert np.abs(np.asarray(image.convert("RGB"), float) - wanted).mean() < 6
    portrait = read_image(save(tmp_path / "b", ramp(40, 200), kind), shorter_side=20)[1]
    with Image.open(io.BytesIO(portrait)) as image:
        assert image.size == (20, 100)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16"])
def test_resizing_modes_other_than_rgb(tmp_path: Path, mode: str) -> None:
    image = Image.new("I;16", (60, 40), 30000) if mode == "I;16" else ramp(mode=mode)
    content = read_image(save(tmp_path / "a.png", image, "PNG"), shorter_side=20)[1]
    with Image.open(io.BytesIO(content)) as resized:
        assert resized.size == (30, 20)
        if mode == "I;16":
            assert resized.mode == "L" and resized.getpixel((9, 9)) == 30000 >> 8


def test_transparency_survives_resizing(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (40, 40), (255, 0, 0, 0))
    content = read_image(save(tmp_path / "a.png", clear, "PNG"), shorter_side=20)[1]
    with Image.open(io.BytesIO(content)) as image:
        assert image.getpixel((0, 0))[3] == 0


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("shorter_side", [None, 20])
def test_what_exif_turns_is_written_upright(
    tmp_path: Path, kind: str, shorter_side: int | None
) -> None:
    for orientation in range(2, 9):
        path = save(tmp_path / "a", ramp(), kind, exif=turned(orientation), lossless=True)
        content = read_image(path, shorter_side)[1]
        with Image.open(path) as before, Image.open(io.BytesIO(content)) as after:
            wanted = ImageOps.exif_transpose(before).convert("RGB")
            if shorter_side:
                wanted = wanted.resize(
                    [side // 2 for side in wanted.size], Image.Resampling.BICUBIC
                )
            assert after.getexif().get(0x0112, 1) == 1
            assert after.getexif()[0x010F] == "a camera"
            assert after.size == wanted.size and after.mode == "RGB"
            apart = np.asarray(after, float) - np.asarray(wanted)
            assert np.abs(apart).mean() < 3


def test_an_orientation_that_turns_nothing_leaves_the_bytes(tmp_path: Path) -> None:
    for exif in (turned(1), turned(0), turned(9), b"Exif\x00\x00damaged"):
        path = save(tmp_path / "a.jpg", ramp(), "JPEG", exif=exif)
        assert read_image(path) == ("jpg", path.read_bytes())
    # Pillow turns a TIFF as it reads it.
    path = save(tmp_path / "a.tif", ramp(), "TIFF", exif=turned(6))
    assert read_image(path) == ("tif", path.read_bytes())


def test_of_a_jpeg_with_several_images_the_bytes_stay_and_the_first_is_resized(
    tmp_path: Path,
) -> None:
    more = {"save_all": True, "append_images": [Image.new("RGB", (30, 20))]}
    path = save(tmp_path / "a.jpg", ramp(), "MPO", **more)
    assert read_image(path) == ("jpg", path.read_bytes())
    extension, content = read_image(path, shorter_side=20)
    with Image.open(io.BytesIO(content)) as image:
        assert (extension, image.format, image.size) == ("jpg", "JPEG", (30, 20))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_what_training_leaves_out_is_a_reason_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "cut.jpg").write_bytes(encoded(ramp())[:-50])
    (tmp_path / "text.jpg").write_text("<html>404</html>")
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "whole.jpg").write_bytes(encoded(ramp()))
    (tmp_path / "large.png").write_bytes(bomb(9_500, 9_500))
    (tmp_path / "bomb.png").write_bytes(bomb(20_000, 20_000))
    for name, content in OTHERS.items():
        (tmp_path / f"{name}.jpg").write_bytes(content)
    other = "undecodable image: not an image of these kinds: JPEG, PNG, .*PPM"
    reasons = {
        "absent.jpg": "missing file",
        "folder.jpg": "not a file",
        "whole.jpg/a.jpg": "unreadable file: Not a directory",
        "x" * 300: "unreadable file: File name too long",
        "text.jpg": other,
        "empty.jpg": other,
        **{f"{name}.jpg": other for name in OTHERS},
        "cut.jpg": "undecodable image: broken image: .*truncated",
        "large.png": "image too large: 9500 x 9500 pixels, more than 89,478,485",
        "bomb.png": "image too large: ",
    }
    for name, reason in reasons.items():
        with pytest.raises(ValueError, match=f"^{reason}") as error:
            read_image(tmp_path / name, shorter_side=20)
        assert "\n" not in str(error.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jpg")
    with pytest.raises(ValueError, match="not a file"):
        read_image(tmp_path / "a.jpg")


def test_a_path_with_a_nul_is_a_bad_row(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        read_image(tmp_path / "a\0.jpg")
