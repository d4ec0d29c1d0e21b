import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFont

from cyclip_pl.data.inspect.contact_sheet import _wrapped, write_contact_sheet
from cyclip_pl.data.inspect.findings import Shown
from cyclip_pl.data.inspect.shard import THUMBNAIL

FONT = ImageFont.load_default(15)


def shown(number: int, caption: str = "a caption") -> Shown:
    buffer = io.BytesIO()
    Image.new("RGB", (THUMBNAIL, 50 + number), (number, 0, 200)).save(buffer, "PNG")
    return Shown(bytes([number]), f"{number}", caption, buffer.getvalue())


@pytest.mark.parametrize("number", [1, 7, 40])
def test_every_image_is_on_the_sheet(tmp_path: Path, number: int) -> None:
    write_contact_sheet(tmp_path / "sheet.png", [shown(n) for n in range(number)])
    pixels = np.asarray(Image.open(tmp_path / "sheet.png"))
    blue = pixels[(pixels[..., 1] == 0) & (pixels[..., 2] == 200)]
    found = np.bincount(blue[:, 0])
    for n in range(number):
        assert found[n] == THUMBNAIL * (50 + n)
    height, width = pixels.shape[:2]
    assert number == 1 or max(height, width) < 2 * min(height, width)


def test_the_caption_stands_under_the_image(tmp_path: Path) -> None:
    write_contact_sheet(tmp_path / "with.png", [shown(0, "HHHH")])
    write_contact_sheet(tmp_path / "without.png", [shown(0, "")])
    difference = np.asarray(Image.open(tmp_path / "with.png")) != np.asarray(
        Image.open(tmp_path / "without.png")
    )
    rows, columns = np.nonzero(difference.any(-1))
    assert rows.min() > THUMBNAIL
    assert columns.max() < THUMBNAIL


@pytest.mark.parametrize(
    "caption", ["two words", "x" * 900, "many words " * 90, "a\nb\tc", "\x1b[31m" * 40, ""]
)
def test_lines_fit_and_are_at_most_four(caption: str) -> None:
    lines = _wrapped(caption, FONT)
    assert len(lines) <= 4
    for line in lines:
        assert FONT.getlength(line) <= THUMBNAIL + FONT.getlength("…")
        assert line.isprintable()
    whole = "".join(caption.split())
    joined = "".join("".join(lines).split())
    if caption.isprintable() and not joined.endswith("…"):
        assert joined == whole
    assert joined.endswith("…") == (len(caption) > 100)
