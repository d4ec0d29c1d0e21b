from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cyclip_pl.data.prepare.images import EXTENSIONS, read_image


def picture(width: int = 60, height: int = 40, mode: str = "RGB") -> Image.Image:
    ramp = np.linspace(0, 255, width * height * 3).astype(np.uint8).reshape(height, width, 3)
    return Image.fromarray(ramp).convert(mode)


def save(path: Path, image: Image.Image, kind: str, **options) -> Path:
    image.save(path, kind, **options)
    return path


@pytest.mark.parametrize("kind", EXTENSIONS)
def test_bytes_pass_unchanged_and_the_extension_is_of_the_content(tmp_path, kind):
    path = save(tmp_path / "named.wrong", picture(), kind)
    assert read_image(path) == (EXTENSIONS[kind], path.read_bytes())
    # Not larger than asked for: still unchanged.
    assert read_image(path, shorter_side=40) == (EXTENSIONS[kind], path.read_bytes())


@pytest.mark.parametrize("kind", EXTENSIONS)
def test_resized_to_the_shorter_side_in_its_own_format(tmp_path, kind):
    extension, content = read_image(save(tmp_path / "a", picture(61, 40), kind), shorter_side=20)
    assert extension == EXTENSIONS[kind]
    with Image.open(io.BytesIO(content)) as image:
        assert (image.format, image.size) == (kind, (30, 20))
        wanted = np.asarray(picture(61, 40).resize((30, 20), Image.Resampling.BICUBIC), float)
        assert np.abs(np.asarray(image.convert("RGB"), float) - wanted).mean() < 6
    portrait = read_image(save(tmp_path / "b", picture(40, 200), kind), shorter_side=20)[1]
    with Image.open(io.BytesIO(portrait)) as image:
        assert image.size == (20, 100)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16"])
def test_resizing_modes_other_than_rgb(tmp_path, mode):
    image = Image.new("I;16", (60, 40), 30000) if mode == "I;16" else picture(mode=mode)
    content = read_image(save(tmp_path / "a.png", image, "PNG"), shorter_side=20)[1]
    with Image.open(io.BytesIO(content)) as resized:
        assert resized.size == (30, 20)


def test_transparency_and_orientation_survive_resizing(tmp_path):
    clear = Image.new("RGBA", (40, 40), (255, 0, 0, 0))
    content = read_image(save(tmp_path / "a.png", clear, "PNG"), shorter_side=20)[1]
    with Image.open(io.BytesIO(content)) as image:
        assert image.getpixel((0, 0))[3] == 0
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path / "b.jpg", picture(), "JPEG", exif=exif)
    with Image.open(io.BytesIO(read_image(path, shorter_side=20)[1])) as image:
        assert image.getexif()[0x0112] == 6


def test_what_is_no_image_is_a_reason_in_one_line(tmp_path):
    whole = save(tmp_path / "whole.jpg", picture(), "JPEG").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[:-50])
    (tmp_path / "text.jpg").write_text("<html>404</html>")
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "folder.jpg").mkdir()
    reasons = {
        "absent.jpg": "missing file",
        "folder.jpg": "not a file",
        "whole.jpg/a.jpg": "unreadable file: Not a directory",
        "x" * 300: "unreadable file: File name too long",
        "text.jpg": "undecodable: not an image",
        "empty.jpg": "undecodable: not an image",
        "cut.jpg": "undecodable: .*truncated",
    }
    for name, reason in reasons.items():
        with pytest.raises(ValueError, match=f"^{reason}") as error:
            read_image(tmp_path / name)
        assert "\n" not in str(error.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "a.jpg")
    with pytest.raises(ValueError, match="not a file"):
        read_image(tmp_path / "a.jpg")


def test_a_path_with_a_nul_is_a_bad_row(tmp_path):
    with pytest.raises(ValueError):
        read_image(tmp_path / "a\0.jpg")


def test_formats_that_start_other_programs_are_not_opened(tmp_path):
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
    (tmp_path / "a.jpg").write_bytes(eps)
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.format == "EPS", "Pillow itself would"
    with pytest.raises(ValueError, match="not an image"):
        read_image(tmp_path / "a.jpg")


def test_a_decompression_bomb_is_a_bad_row(tmp_path):
    path = save(tmp_path / "a.png", Image.new("1", (20_000, 20_000)), "PNG")
    with pytest.raises(ValueError, match="undecodable: .*decompression bomb"):
        read_image(path)
