from __future__ import annotations

import colorsys
import math

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import functional as reference

from cyclip_pl.data.seeds import generator
from cyclip_pl.data.views.colour import LUMA, RandomColour, colour_matrix


def muted(seed: int = 0) -> Image.Image:
    """Colours about the middle, so that nothing is clipped."""
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(90, 150, (20, 30, 3), dtype=np.uint8))


def adjusted(image: Image.Image, **factors: float) -> np.ndarray:
    settings = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.0} | factors
    mean = tuple(np.asarray(image).mean((0, 1)).tolist())
    matrix = colour_matrix(mean, **settings, grayscale=False)
    return np.asarray(image.convert("RGB", matrix)).astype(int)


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
@pytest.mark.parametrize("factor", [0.6, 0.9, 1.3])
def test_factors_are_torchvisions(name: str, factor: float) -> None:
    expected = getattr(reference, f"adjust_{name}")(muted(), factor)
    ours = adjusted(muted(), **{name: factor})
    assert np.abs(ours - np.asarray(expected)).max() <= 2


def test_together_they_are_torchvisions_in_this_order() -> None:
    image = muted()
    expected = reference.adjust_brightness(image, 1.1)
    expected = reference.adjust_contrast(expected, 0.8)
    expected = reference.adjust_saturation(expected, 1.3)
    ours = adjusted(image, brightness=1.1, contrast=0.8, saturation=1.3)
    assert np.abs(ours - np.asarray(expected)).max() <= 3


def test_the_matrix_is_the_product_of_its_steps() -> None:
    b, c, s, h = 1.2, 0.7, 1.4, 0.07
    mean, x = np.array([100.0, 120, 90]), np.array([80.0, 150, 60])
    luma, one = np.array(LUMA), np.ones(3)
    # Rodrigues' rotation about the grey axis.
    axis = one / math.sqrt(3)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    angle = 2 * math.pi * h
    rotation = np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross
    for grayscale in (False, True):
        y = b * x
        y = c * y + (1 - c) * (luma @ (b * mean)) * one
        y = s * y + (1 - s) * (luma @ y) * one
        y = rotation @ y
        if grayscale:
            y = (luma @ y) * one
        matrix = np.array(colour_matrix(tuple(mean), b, c, s, h, grayscale)).reshape(3, 4)
        np.testing.assert_allclose(matrix @ [*x, 1.0], y, rtol=1e-12)


def test_hues_turn_as_hsv_does() -> None:
    """A third of the circle moves the channels on; a little turns the same way as HSV."""
    image = Image.new("RGB", (2, 2), (200, 60, 60))
    assert adjusted(image, hue=1 / 3)[0, 0].tolist() == [60, 200, 60]
    turned = adjusted(image, hue=0.05)[0, 0] / 255
    hue = colorsys.rgb_to_hsv(*turned)[0]
    assert abs(hue - 0.05) < 0.01


def colour(**settings: float) -> RandomColour:
    names = ("brightness", "contrast", "saturation", "hue", "jitter", "grayscale")
    return RandomColour(**(dict.fromkeys(names, 0.0) | settings))


def test_grey() -> None:
    image = muted()
    grey = np.asarray(colour(grayscale=1.0)(image, generator("t"))[0]).astype(int)
    assert (grey == grey[..., :1]).all()
    assert np.abs(grey[..., 0] - np.asarray(image.convert("L"))).max() <= 1


def test_probabilities() -> None:
    image, rng = muted(), generator("t")
    jittered = colour(brightness=0.5, jitter=0.8)
    changed = [jittered(image, rng)[0] is not image for _ in range(2000)]
    assert abs(np.mean(changed) - 0.8) < 0.03
    greyed = colour(grayscale=0.2)
    changed = [greyed(image, rng)[0] is not image for _ in range(2000)]
    assert abs(np.mean(changed) - 0.2) < 0.03
    assert colour(brightness=0.5)(image, rng) == (image, {})


def test_ranges() -> None:
    image, rng = Image.new("RGB", (2, 2), (100, 100, 100)), generator("t")
    jitter = colour(brightness=0.4, jitter=1.0)
    levels = np.array([np.asarray(jitter(image, rng)[0])[0, 0, 0] for _ in range(2000)])
    assert 60 <= levels.min() <= 62 and 138 <= levels.max() <= 140
    assert abs(levels.mean() - 100) < 2


def test_factors_are_never_negative() -> None:
    image, rng = muted(), generator("t")
    strong = colour(brightness=3.0, contrast=3.0, saturation=3.0, jitter=1.0)
    drawn = [strong(image, rng)[1] for _ in range(200)]
    for name in ("brightness", "contrast", "saturation"):
        assert min(entry[name] for entry in drawn) == -1 and max(e[name] for e in drawn) > 2


def test_it_says_what_it_drew() -> None:
    image = muted()
    settings = {"brightness": 0.2, "contrast": 0.3, "saturation": 0.4, "hue": 0.1}
    both = colour(**settings, jitter=0.5, grayscale=0.5)
    mean = np.asarray(image).mean((0, 1)).round()
    for seed in range(40):
        changed, drawn = both(image, generator("t", seed))
        if not drawn:
            assert changed is image
            continue
        assert drawn.keys() == {*settings, "grayscale"}
        assert all(abs(drawn[name]) <= strength for name, strength in settings.items())
        factors = [1 + drawn[name] for name in ("brightness", "contrast", "saturation")]
        matrix = colour_matrix(tuple(mean), *factors, drawn["hue"], bool(drawn["grayscale"]))
        assert np.array_equal(np.asarray(image.convert("RGB", matrix)), np.asarray(changed))


@pytest.mark.parametrize(
    "settings", [{"brightness": -1}, {"hue": 0.6}, {"jitter": 1.2}, {"grayscale": -0.1}]
)
def test_refusals(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"views.{next(iter(settings))}"):
        colour(**settings)
