from __future__ import annotations

import io
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from cyclip_pl.data.prepare import emoji_images
from cyclip_pl.data.prepare.compare_images import difference, fingerprint, unambiguous
from tests.data.prepare.reading import array

SVG = """<?xml version="1.0"?>
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 72 72">
  <g id="color"><rect width="72" height="72" fill="#ff0000"/></g>
  <g id='skin-shadow'><rect width="72" height="72" fill="#00ff00"/></g>
  <g><g id="hair-2"><g><rect width="72" height="72" fill="#0000ff"/></g></g></g>
  <!-- <g id="line"> -->
  <g id="line"><path id="color" d="M10,36 h52" stroke="#000" stroke-width="8"/></g>
</svg>"""


def png(*pixels: int, mode: str = "L") -> bytes:
    image = Image.new(mode, (len(pixels), 1))
    image.putdata(pixels)
    out = io.BytesIO()
    image.save(out, "png")
    return out.getvalue()


def test_colour_groups_go_wherever_they_stand_and_lines_stay() -> None:
    ids = {e.get("id") for e in ElementTree.fromstring(emoji_images.without_colour(SVG)).iter()}
    # The path named color is a line: only groups hold fills.
    assert ids == {None, "line", "color"}


def test_rendered_lines() -> None:
    import resvg_py

    render = resvg_py.svg_to_bytes
    coloured = array(render(svg_string=SVG, width=72, height=72, background="#ffffff"))
    line = emoji_images.without_colour(SVG)
    lined = array(render(svg_string=line, width=72, height=72, background="#ffffff"))
    assert (coloured[0, 0] == (0, 0, 255)).all() and (lined[0, 0] == 255).all()
    assert (coloured[36, 36] == 0).all() and (lined[36, 36] == 0).all()


@pytest.mark.parametrize("style", ["openmoji", "openmoji_line", "twemoji", "noto_mono"])
def test_each_style_draws_a_rocket_on_white_and_nothing_for_a_missing_one(style) -> None:
    draw = getattr(emoji_images, style)(48)
    image = array(draw("1f680"))
    assert image.shape == (48, 48, 3)
    assert (image[0, 0] == 255).all() and image.min() < 100
    # It fills much of the image, and is not cut off at the border.
    rows, columns = np.nonzero((image < 200).any(axis=2))
    assert np.ptp(rows) > 24 and np.ptp(columns) > 24
    assert draw("10fffd") is None


def test_vendors_draw_differently() -> None:
    draws = [getattr(emoji_images, s)(48) for s in ("openmoji", "twemoji", "noto_mono")]
    assert len({fingerprint(draw("1f680")) for draw in draws}) == 3


def test_scaling_does_not_tint_the_rim(tmp_path) -> None:
    """A white disc, its transparent surroundings stored as black: all white on white."""
    grid = np.hypot(*np.mgrid[-36:36, -36:36]) < 30
    pixels = np.zeros((72, 72, 4), np.uint8)
    pixels[grid] = 255
    Image.fromarray(pixels).save(tmp_path / "1f680.png")
    assert array(emoji_images.png_folder(tmp_path, 50)("1f680")).min() >= 254


def test_a_folder_without_images_is_an_error(tmp_path) -> None:
    with pytest.raises(ValueError, match="no .png images"):
        emoji_images.png_folder(tmp_path, 64)


def test_draw_all_leaves_out_what_is_not_drawn() -> None:
    def draw(key: str) -> bytes | None:
        return None if key == "b" else key.encode()

    assert emoji_images.draw_all(draw, "abc", 2) == {"a": b"a", "c": b"c"}


def test_fingerprints_are_of_pixels() -> None:
    assert fingerprint(png(0, 255)) == fingerprint(png(0, 1, mode="1"))
    assert fingerprint(png(0, 255)) != fingerprint(png(0, 254))


def test_difference_in_levels() -> None:
    assert difference(png(0, 100), png(0, 100)) == 0
    assert difference(png(0, 100), png(10, 70)) == pytest.approx(20)


def test_unambiguous_images() -> None:
    images = {"a": png(0, 9), "b": png(0, 9), "c": png(9, 0), "blank": png(255, 255)}
    assert unambiguous(images) == {"c"}
