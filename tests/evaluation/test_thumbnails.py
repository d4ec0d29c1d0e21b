from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from cyclip_pl.evaluation.thumbnails import SIDE, write_thumbnails


def test_thumbnails_are_small_and_those_of_before_go(tmp_path: Path) -> None:
    write_thumbnails(tmp_path, {"old": partial(Image.new, "RGB", (4, 4))})
    noise = partial(Image.effect_noise, (1200, 600), 90)
    clear = partial(Image.new, "RGBA", (10, 20), (0, 0, 0, 0))
    (tmp_path / "mine.txt").write_text("stays")
    write_thumbnails(tmp_path, {"3": noise, "train_4": clear})
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "3.webp",
        "mine.txt",
        "train_4.webp",
    ]
    wide, tall = Image.open(tmp_path / "3.webp"), Image.open(tmp_path / "train_4.webp")
    assert wide.size == (SIDE, SIDE // 2) and tall.size == (10, 20)
    assert tall.convert("RGB").getpixel((5, 5)) == (255, 255, 255)  # not black
    assert (tmp_path / "3.webp").stat().st_size < 10_000


def test_an_image_that_is_gone_costs_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def gone() -> Image.Image:
        raise ValueError("0.tar has changed since it was opened")

    with caplog.at_level(logging.WARNING):
        write_thumbnails(tmp_path, {"1": gone, "2": partial(Image.new, "L", (5, 5))})
    assert "1: no thumbnail: 0.tar has changed" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == ["2.webp"]


def test_without_images_there_is_no_folder(tmp_path: Path) -> None:
    write_thumbnails(tmp_path / "none", {})
    assert not (tmp_path / "none").exists()
