from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image

from cyclip_pl.data.seeds import generator
from cyclip_pl.data.views.crop import RandomCrop


def crop(size: int = 16, **settings: object) -> RandomCrop:
    defaults = {"scale": (0.3, 0.9), "ratio": (0.75, 4 / 3), "flip": 0.0}
    return RandomCrop(size, **(defaults | settings))  # type: ignore[arg-type]


def gradient(width: int, height: int) -> Image.Image:
    """Red grows with x, green with y."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    return Image.fromarray(
        np.stack([x * 255 / (width - 1), y * 255 / (height - 1), x * 0], -1).astype(np.uint8)
    )


def test_boxes_keep_to_the_settings() -> None:
    rng = generator("t")
    boxes = np.array([crop(scale=(0.1, 0.5)).box(80, 60, rng) for _ in range(4000)])
    left, upper, right, lower = boxes.T
    assert (boxes >= 0).all() and (right <= 80).all() and (lower <= 60).all()
    area, ratio = (right - left) * (lower - upper) / 4800, (right - left) / (lower - upper)
    assert area.min() >= 0.1 - 1e-6 and area.max() <= 0.5 + 1e-6
    assert abs(area.mean() - 0.3) < 0.01
    assert ratio.min() >= 0.75 - 1e-6 and ratio.max() <= 4 / 3 + 1e-6
    # Centres about the middle; logarithms of ratios about zero, but for what does not fit.
    assert abs(np.log(ratio).mean()) < 0.05
    assert abs(((left + right) / 2).mean() - 40) < 0.5
    assert abs(((upper + lower) / 2).mean() - 30) < 0.5


def test_where_nothing_fits_the_largest_allowed_part_is_taken() -> None:
    box = crop(scale=(0.9, 1.0)).box(400, 10, generator("t"))
    assert box == pytest.approx((200 - 20 / 3, 0, 200 + 20 / 3, 10))


def test_the_whole_image() -> None:
    image = gradient(16, 16)
    same, _ = crop(16, scale=(1.0, 1.0), ratio=(1.0, 1.0))(image, generator("t"))
    assert np.abs(np.asarray(same).astype(int) - np.asarray(image)).max() <= 1


def test_flips() -> None:
    image = gradient(32, 32)
    always, _ = crop(flip=1.0)(image, generator("t"))
    never, _ = crop(flip=0.0)(image, generator("t"))
    assert np.array_equal(np.asarray(always), np.asarray(never)[:, ::-1])
    rng = generator("t")
    mirrored = [
        np.diff(np.asarray(crop(flip=0.3)(image, rng)[0])[8, [2, 12], 0].astype(int))[0] < 0
        for _ in range(1000)
    ]
    assert abs(np.mean(mirrored) - 0.3) < 0.05


def test_rotation_without_an_angle_is_the_plain_crop() -> None:
    image = gradient(64, 64)
    plain, turned = crop(32), crop(32, rotation=1e-9)
    for seed in range(5):
        a, b = (make(image, generator("t", seed))[0] for make in (plain, turned))
        assert np.abs(np.asarray(a).astype(int) - np.asarray(b)).max() <= 3


@pytest.mark.parametrize("mirrored", [False, True])
def test_rotation_turns_by_its_angle(mirrored: bool) -> None:
    turned = crop(64)._turned(gradient(128, 128), (32, 32, 96, 96), 30, mirrored)
    red = np.asarray(turned).astype(float)[..., 0]
    across, down = np.diff(red, axis=1).mean(), np.diff(red, axis=0).mean()
    angle = math.degrees(math.atan2(down, -across if mirrored else across))
    assert abs(abs(angle) - 30) < 2
    assert abs(math.hypot(across, down) - 255 / 127) < 0.05


def test_strong_shrinking_is_smooth_when_turned() -> None:
    stripes = Image.fromarray(np.tile(np.array([0, 255], dtype=np.uint8), (256, 128))).convert(
        "RGB"
    )
    turned = np.asarray(crop(16, scale=(1, 1), rotation=5, fill=128)(stripes, generator("t"))[0])
    assert np.abs(turned.astype(int) - 128).max() < 40


def test_beyond_the_edge_is_the_fill() -> None:
    black = Image.new("RGB", (32, 32))
    settings = {"scale": (1.0, 1.0), "ratio": (1.0, 1.0), "rotation": 45.0}
    corners = [
        np.asarray(crop(32, fill=200, **settings)(black, generator("t", seed))[0])[0, 0].tolist()
        for seed in range(20)
    ]
    assert [200] * 3 in corners


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 3)])
@pytest.mark.parametrize("rotation", [0, 10])
def test_tiny_images(shape: tuple[int, int], rotation: float) -> None:
    cropped, drawn = crop(rotation=rotation)(Image.new("RGB", shape, (9, 9, 9)), generator("t"))
    assert cropped.size == (16, 16) and np.isfinite(list(drawn.values())).all()


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"scale": (0.0, 1.0)}, "views.scale"),
        ({"scale": (0.5, 1.1)}, "views.scale"),
        ({"scale": (0.9, 0.5)}, "views.scale"),
        ({"scale": (0.5,)}, "views.scale"),
        ({"ratio": (0, 1)}, "views.ratio"),
        ({"flip": 1.5}, "views.flip"),
        ({"rotation": -5}, "views.rotation"),
        ({"fill": 300}, "views.fill"),
    ],
)
def test_refusals(settings: dict[str, object], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        crop(**settings)


def test_a_margin_lets_the_image_shrink() -> None:
    image = Image.new("RGB", (40, 40), "black")
    crop = RandomCrop(20, (1.0, 1.0), (1.0, 1.0), flip=0.0, fill=255, margin=0.25)
    part, drawn = crop(image, np.random.default_rng(0))
    pixels = np.asarray(part)
    # 40 of 60 pixels a side: two thirds of 20 are black, the rest is the margin.
    assert (pixels[9] < 128).all(axis=1).sum() == 13 or (pixels[9] < 128).all(axis=1).sum() == 14
    assert (pixels[0] == 255).all()
    assert drawn["log_width"] == drawn["log_height"] == pytest.approx(math.log(1.5))
    assert drawn["x"] == drawn["y"] == 0
    with pytest.raises(
        ValueError, match="views.margin=2: must be a number at least 0 and at most 1"
    ):
        RandomCrop(20, (1.0, 1.0), (1.0, 1.0), flip=0.0, margin=2)


def shown(drawn: dict[str, float], width: int, height: int) -> tuple[float, ...]:
    """The box that the legend's entries describe."""
    x, y = (0.5 + drawn["x"]) * width, (0.5 + drawn["y"]) * height
    w, h = math.exp(drawn["log_width"]) * width, math.exp(drawn["log_height"]) * height
    return x - w / 2, y - h / 2, x + w / 2, y + h / 2


def test_what_it_says_it_drew_shows_the_same_part() -> None:
    image = gradient(90, 60)
    for seed in range(20):
        part, drawn = crop(32, flip=0.5)(image, generator("t", seed))
        again = image.resize((32, 32), Image.Resampling.BICUBIC, box=shown(drawn, 90, 60))
        again = again.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if drawn["flip"] else again
        assert np.abs(np.asarray(part).astype(int) - np.asarray(again)).max() <= 1
        assert drawn["rotation"] == 0


def test_with_a_margin_as_well() -> None:
    image = gradient(90, 60)
    framed = Image.new("RGB", (270, 180), (255, 255, 255))
    framed.paste(image, (90, 60))
    for seed in range(20):
        part, drawn = crop(32, margin=0.4)(image, generator("t", seed))
        left, upper, right, lower = shown(drawn, 90, 60)
        box = (left + 90, upper + 60, right + 90, lower + 60)
        again = framed.resize((32, 32), Image.Resampling.BICUBIC, box=box)
        assert np.abs(np.asarray(part).astype(int) - np.asarray(again)).max() <= 1


def test_the_part_is_turned_clockwise() -> None:
    """The image the other way round its centre, cut and mirrored, is the same view."""
    image = gradient(400, 400)
    turns = set()
    for seed in range(12):
        settings = {"scale": (0.05, 0.1), "flip": 0.5, "rotation": 40.0}
        part, drawn = crop(32, **settings)(image, generator("t", seed))
        left, upper, right, lower = shown(drawn, 400, 400)
        if min(left, upper, 400 - right, 400 - lower) < 40:
            continue  # may show what is beyond the edge
        centre = ((left + right) / 2, (upper + lower) / 2)
        upright = image.rotate(180 * drawn["rotation"], Image.Resampling.BICUBIC, center=centre)
        again = upright.resize((32, 32), Image.Resampling.BICUBIC, box=(left, upper, right, lower))
        again = again.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if drawn["flip"] else again
        assert np.abs(np.asarray(part).astype(int) - np.asarray(again)).max() <= 3
        turns.add((drawn["flip"], drawn["rotation"] > 0))
    assert turns == {(0, False), (0, True), (1, False), (1, True)}
