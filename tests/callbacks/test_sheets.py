"""The sheets show what was found where: read back from their pixels."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from cyclip_pl.callbacks.sheets import _GAP, _SIDE, _TEXT, found_captions, found_images, matrix

COLOURS = ["#ff0000", "#00ff00", "#0000ff"]
IMAGES = [Image.new("RGB", (30, 20), colour) for colour in COLOURS]
SIMILARITY = torch.tensor([[0.9, 0.5, 0.1], [0.8, 0.2, 0.4], [0.0, 0.3, 0.6]])


def _hex(image: Image.Image, x: int, y: int) -> str:
    return "#{:02x}{:02x}{:02x}".format(*image.getpixel((x, y)))


def test_a_captions_nearest_images_stand_beside_it_its_own_in_green() -> None:
    sheet = found_images(SIMILARITY, ["a", "b", "c"], IMAGES, k=2)
    middle, step = _SIDE // 2, _SIDE + _GAP
    shown = [
        [_hex(sheet, _TEXT + place * step + middle, row * step + middle) for place in range(2)]
        for row in range(3)
    ]
    assert shown == [[COLOURS[a], COLOURS[b]] for a, b in ([0, 1], [0, 2], [2, 1])]
    frames = [_hex(sheet, _TEXT + 1, row * step + 1) for row in range(3)]
    assert frames == ["#1a7f37", "#cf222e", "#1a7f37"]


def test_an_images_nearest_captions_stand_beside_it() -> None:
    sheet = found_captions(SIMILARITY, IMAGES, ["short", "b", "c"], k=1)
    other = found_captions(SIMILARITY, IMAGES, ["another text", "b", "c"], k=1)
    step = _SIDE + _GAP
    assert [_hex(sheet, _SIDE // 2, row * step + _SIDE // 2) for row in range(3)] == COLOURS

    def row(image: Image.Image, n: int) -> bytes:
        return image.crop((_SIDE, n * step, image.width, (n + 1) * step)).tobytes()

    # Caption 0 is the nearest of the first two images, and not of the third.
    assert [row(sheet, n) != row(other, n) for n in range(3)] == [True, True, False]


@pytest.mark.parametrize("similarity", [SIMILARITY, torch.zeros(2, 2)])
def test_the_matrix_is_dark_where_low_and_light_where_high(similarity: torch.Tensor) -> None:
    sheet = matrix(similarity, side=20).convert("L")
    rows = len(similarity)
    level = torch.tensor(
        [[sheet.getpixel((20 * x + 10, 20 * y + 10)) for x in range(rows)] for y in range(rows)]
    )
    assert torch.equal(level.flatten().argsort(), similarity.flatten().argsort())
