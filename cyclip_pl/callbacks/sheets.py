"""Small sheets of images and captions, drawn with PIL alone."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor

_SIDE, _GAP, _TEXT = 72, 6, 220  # pixels
_RIGHT, _WRONG = "#1a7f37", "#cf222e"  # a pair of the set, and another
_LETTERS, _LINES = 34, 5


def found_images(
    similarity_II: Tensor, captions: Sequence[str], images: Sequence[Image.Image], k: int
) -> Image.Image:
    """A row per caption: its text, then the k nearest images; its own has a green frame.

    Args:
        similarity_II: Captions by images; the diagonal are the pairs.
    """
    sheet, draw = _blank(len(captions), _TEXT + k * (_SIDE + _GAP))
    for row, nearest in enumerate(similarity_II.topk(k).indices.tolist()):
        _write(draw, captions[row], 0, row)
        for place, index in enumerate(nearest):
            left = _TEXT + place * (_SIDE + _GAP)
            _paste(sheet, images[index], left, row, _RIGHT if index == row else _WRONG)
    return sheet


def found_captions(
    similarity_II: Tensor, images: Sequence[Image.Image], captions: Sequence[str], k: int
) -> Image.Image:
    """A row per image, then the k nearest captions; its own is green."""
    sheet, draw = _blank(len(images), _SIDE + _GAP + k * _TEXT)
    for row, nearest in enumerate(similarity_II.topk(k).indices.tolist()):
        _paste(sheet, images[row], 0, row, "white")
        for place, index in enumerate(nearest):
            left = _SIDE + _GAP + place * _TEXT
            _write(draw, captions[index], left, row, _RIGHT if index == row else _WRONG)
    return sheet


def matrix(similarity_II: Tensor, side: int = 20) -> Image.Image:
    """All similarities as squares, images down and captions across: dark is low, light is high.

    The extremes are written below.
    """
    low, high = similarity_II.min().item(), similarity_II.max().item()
    level_II = (similarity_II - low) / max(high - low, 1e-12) * 255
    grey = Image.fromarray(level_II.byte().numpy())
    squares = ImageOps.colorize(grey, "#0d1b3e", "#fff3b0", "#2a9d8f")
    size = (squares.width * side, squares.height * side)
    squares = squares.resize(size, Image.Resampling.NEAREST)
    sheet = Image.new("RGB", (max(size[0], _TEXT), size[1] + 20), "white")
    sheet.paste(squares)
    text = f"cosine {low:.2f} (dark) to {high:.2f} (light)"
    ImageDraw.Draw(sheet).text((2, size[1] + 4), text, "black", ImageFont.load_default())
    return sheet


def _blank(rows: int, width: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    sheet = Image.new("RGB", (width, rows * (_SIDE + _GAP)), "white")
    return sheet, ImageDraw.Draw(sheet)


def _write(
    draw: ImageDraw.ImageDraw, text: str, left: int, row: int, colour: str = "black"
) -> None:
    lines = textwrap.wrap(text, _LETTERS)[:_LINES]
    place = (left + _GAP, row * (_SIDE + _GAP) + _GAP)
    draw.multiline_text(place, "\n".join(lines), colour, ImageFont.load_default())


def _paste(sheet: Image.Image, image: Image.Image, left: int, row: int, frame: str) -> None:
    small = ImageOps.pad(image, (_SIDE - 6, _SIDE - 6), color="white")
    sheet.paste(ImageOps.expand(small, 3, frame), (left, row * (_SIDE + _GAP)))
