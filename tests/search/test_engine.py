"""Queries: text to images, an image to images and captions, several models."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from cyclip_pl.images import Undecodable
from cyclip_pl.search.engine import Engine
from tests.helpers.evaluation_sets import write_tar
from tests.helpers.images import bomb, encoded
from tests.helpers.world import CLASSES, shape_png
from tests.search.models import ColourNet, engine_of


@pytest.fixture(scope="module")
def engine(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return engine_of(
        f"{world}/train", tmp_path_factory.mktemp("cache"), ColourNet(), ColourNet(0.2)
    )


def colours(images: list[dict]) -> set[str]:
    return {image["captions"][0].split()[1] for image in images}


def test_a_caption_finds_images(engine: Engine) -> None:
    for colour in ("red", "green", "blue", "black"):
        for model in engine.by_text(f"a {colour} thing", 24)["models"]:
            assert len(model["images"]) == 24  # of 96 in 4 colours
            assert colours(model["images"]) == {colour}
            cosines = [image["cosine"] for image in model["images"]]
            assert cosines == sorted(cosines, reverse=True) and cosines[0] > 0.9
            assert model["captions"] == []


def test_an_image_finds_images_and_captions(engine: Engine) -> None:
    found = engine.by_image(5, 10)
    (caption,) = found["query"]["captions"]
    for model in found["models"]:
        assert 5 not in [image["id"] for image in model["images"]] and len(model["images"]) == 10
        assert colours(model["images"]) == {caption.split()[1]}
        assert {one["text"].split()[1] for one in model["captions"][:3]} == {caption.split()[1]}
        assert [one["text"] for one in model["captions"] if one["own"]] == [caption]
        for one in model["captions"]:
            shown = engine.listing.captions(one["image"])
            assert one["text"] in [engine.listing.texts[number] for number in shown]


def test_the_users_image(engine: Engine) -> None:
    index = CLASSES.index("blue circle")
    for data in (shape_png(index), encoded(Image.open(io.BytesIO(shape_png(index))), "WEBP")):
        for model in engine.by_bytes(data, 24)["models"]:
            assert colours(model["images"]) == {"blue"}
            assert len(model["captions"]) == 12
            assert not any(one["own"] for one in model["captions"])
    for bad in (b"", b"<svg onload=alert(1)>", bomb(20_000, 20_000)):
        with pytest.raises(Undecodable):
            engine.by_bytes(bad, 3)


def test_what_there_is(engine: Engine) -> None:
    about = engine.about()
    assert about["models"] == ["model 0", "model 1"]
    assert (about["images"], about["captions"], about["undecodable"]) == (96, 12, 0)
    assert [about["some"][0]["id"], about["some"][-1]["id"]] == [0, 95]
    assert len(set(about["examples"])) == len(about["examples"]) == 6


def test_there_is_no_such_image(engine: Engine) -> None:
    for index in (-1, 96):
        with pytest.raises(IndexError):
            engine.by_image(index, 3)
        with pytest.raises(IndexError):
            engine.thumbnail(index, 100)


def test_thumbnails_are_bounded(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    folder.mkdir()
    large = encoded(Image.new("RGB", (3000, 1500), "red"))
    clear = encoded(Image.new("RGBA", (40, 20), (0, 0, 0, 0)), "PNG")
    write_tar(folder / "0.tar", [("a.jpg", large), ("b.png", clear), ("c.png", b"broken")])
    engine = engine_of(folder, tmp_path / "cache")
    for index, kind, size in ((0, "image/jpeg", (320, 160)), (1, "image/png", (40, 20))):
        found, data = engine.thumbnail(index, 320)
        assert found == kind
        image = Image.open(io.BytesIO(data))
        assert image.size == size and image.mode == "RGB"
    assert image.getpixel((0, 0)) == (255, 255, 255)
    with pytest.raises(Undecodable):
        engine.thumbnail(2, 320)


def test_an_image_without_a_caption(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    folder.mkdir()
    write_tar(folder / "0.tar", [("a.png", shape_png(0)), ("b.png", shape_png(5))])
    engine = engine_of(folder, tmp_path / "cache")
    (model,) = engine.by_image(0, 5)["models"]
    assert [image["captions"] for image in model["images"]] == [[]]
    assert model["captions"] == []
    assert engine.about()["examples"] == []
