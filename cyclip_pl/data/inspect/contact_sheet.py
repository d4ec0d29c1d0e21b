"""A grid of images with their captions, as one PNG."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from cyclip_pl.console import plain
from cyclip_pl.data.inspect.findings import Shown
from cyclip_pl.data.inspect.shard import THUMBNAIL
from cyclip_pl.files import atomic

_MARGIN = 12
_FONT_SIZE = 15
_LINE = 19
_LINES = 4
_LONGEST = 100  # characters of a line, before they are measured
_CELL = THUMBNAIL + _MARGIN, THUMBNAIL + _LINES * _LINE + 2 * _MARGIN


def write_contact_sheet(path: Path, shown: Sequence[Shown]) -> None:
    """Write the images in a grid, each over its caption, which is cut after four lines."""
    columns = max(1, math.ceil(math.sqrt(len(shown) * _CELL[1] / _CELL[0])))
    rows = max(1, math.ceil(len(shown) / columns))
    size = columns * _CELL[0] + _MARGIN, rows * _CELL[1] + _MARGIN
    sheet = Image.new("RGB", size, "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(_FONT_SIZE)
    for index, one in enumerate(shown):
        row, column = divmod(index, columns)
        left, top = _MARGIN + column * _CELL[0], _MARGIN + row * _CELL[1]
        with Image.open(io.BytesIO(one.image), formats=("PNG",)) as image:
            sheet.paste(image, (left, top + THUMBNAIL - image.height))
        for number, line in enumerate(_wrapped(one.caption, font)):
            at = left, top + THUMBNAIL + _MARGIN // 2 + number * _LINE
            pen.text(at, line, font=font, fill="black")
    with atomic(path) as partial:
        sheet.save(partial, "PNG")


def _wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> list[str]:
    """The text in lines that fit under an image."""
    lines: list[str] = []
    rest = " ".join(plain(text).split())
    while rest and len(lines) < _LINES:
        end = min(len(rest), _LONGEST)
        while end > 1 and font.getlength(rest[:end]) > THUMBNAIL:
            space = rest.rfind(" ", 0, end)
            end = space if space > 0 else end - 1
        lines.append(rest[:end])
        rest = rest[end:].strip()
    if rest:
        lines[-1] = lines[-1][: max(1, len(lines[-1]) - 2)] + "…"
    return lines
