import hashlib
import math
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from cyclip_pl.data.seeds import generator
from cyclip_pl.data.views.augmented import Augmented
from cyclip_pl.data.views.base import ImageView
from cyclip_pl.data.views.colour import colour_matrix
from cyclip_pl.data.views.parameters import Parameters
from cyclip_pl.data.views.pixels import to_tensor
from cyclip_pl.data.views.plain import Plain
from cyclip_pl.data.views.weak import Weak

# conf/views/jittered.yaml
DEMO: dict[str, Any] = {
    "scale": (0.45, 1.0),
    "ratio": (0.75, 1.3333),
    "margin": 0.07,
    "hue": 0.03,
    "jitter": 1.0,
}


def an_image() -> Image.Image:
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 256, (50, 70, 3), dtype=np.uint8))


def test_it_is_a_function_of_the_generator() -> None:
    views = Augmented(24, rotation=10, blur=0.5)
    sent = pickle.loads(pickle.dumps(views))
    for seed in range(5):
        first = views(an_image(), ["a", "b"], generator("t", seed))
        again = sent(an_image(), ["a", "b"], generator("t", seed))
        assert first.images.shape == (1, 3, 24, 24) and first.images.dtype == torch.uint8
        assert torch.equal(first.images, again.images) and first.texts == again.texts
        assert torch.equal(first.augmentation, again.augmentation)
        other = views(an_image(), ["a", "b"], generator("t", seed + 100))
        assert not torch.equal(first.images, other.images)
        assert not torch.equal(first.augmentation, other.augmentation)


def test_without_colours_it_is_the_weak_view() -> None:
    plain = Augmented(24, jitter=0.0, grayscale=0.0)
    ours = plain(an_image(), ["a"], generator("t")).images
    assert torch.equal(ours, Weak(24)(an_image(), ["a"], generator("t")).images)


def test_colours_change() -> None:
    image = Image.new("RGB", (50, 40), (100, 120, 140))
    rng = generator("t")
    views = Augmented(8)
    colours = {tuple(views(image, ["a"], rng).images[0, :, 4, 4].tolist()) for _ in range(100)}
    assert len(colours) > 70
    # A fifth of them grey, and a fifth of the rest as they were.
    assert (100, 120, 140) in colours and any(len(set(colour)) == 1 for colour in colours)


def test_settings_are_checked() -> None:
    for setting, value in (("jitter", 2), ("rotation", -1), ("scale", (0, 1)), ("blur", 2)):
        with pytest.raises(ValueError, match=f"views.{setting}"):
            Augmented(16, **{setting: value})  # type: ignore[arg-type]


def test_what_it_says_it_drew_makes_the_same_view() -> None:
    """From the vector alone: the part, its colours and its blur."""
    image = an_image()
    view = Augmented(28, blur=0.5, blur_sigma=(2.0, 12.0), scale=(0.2, 1.0))
    blurred = 0
    for seed in range(30):
        viewed = view(image, ["a"], generator("t", seed))
        made = Parameters(*viewed.augmentation[0].tolist())
        x, y = (0.5 + made.x) * 70, (0.5 + made.y) * 50
        w, h = math.exp(made.log_width) * 70, math.exp(made.log_height) * 50
        edges = np.clip([x - w / 2, y - h / 2, x + w / 2, y + h / 2], 0, [70, 50, 70, 50])
        again = image.resize((28, 28), Image.Resampling.BICUBIC, box=tuple(edges))
        again = again.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if made.flip else again
        matrix = colour_matrix(
            tuple(np.asarray(again).mean((0, 1))),
            1 + made.brightness,
            1 + made.contrast,
            1 + made.saturation,
            made.hue,
            bool(made.grayscale),
        )
        again = again.convert("RGB", matrix)
        if made.blur:
            again = again.filter(ImageFilter.GaussianBlur(made.blur * 28 / 224))
            blurred += 1
        difference = viewed.images[0].int() - to_tensor(again).int()
        assert difference.abs().max() <= 3
        assert difference.float().abs().mean() < 0.5
    assert 8 < blurred < 22


def test_the_vector_of_an_untouched_image_is_zero() -> None:
    image = an_image().crop((0, 0, 50, 50))
    whole = {"scale": (1.0, 1.0), "ratio": (1.0, 1.0), "flip": 0.0}
    view = Augmented(50, **whole, jitter=0.0, grayscale=0.0)  # type: ignore[arg-type]
    viewed = view(image, ["a"], generator("t"))
    assert torch.equal(viewed.images[0], to_tensor(image))
    assert viewed.augmentation.abs().max() < 1e-6


# Made before views said what they drew, and before there was a blur: neither changed a pixel or
# a draw, and the demo's metrics hold.
@pytest.mark.parametrize(
    ("views", "expected"),
    [
        (Plain(24), "09f2f612261f20b1"),
        (Weak(24, (0.5, 1.0), (0.75, 1.3333), 0.5), "7079625d20953684"),
        (Augmented(24, **DEMO), "2771fdd57c8598aa"),
        (Augmented(24, **DEMO | {"rotation": 10, "jitter": 0.8}), "cf2b42ee95333682"),
    ],
    ids=["plain", "weak", "jittered", "turned"],
)
def test_pixels_and_draws_are_those_of_the_demo(views: ImageView, expected: str) -> None:
    digest = hashlib.sha256()
    for seed in range(20):
        viewed = views(an_image(), ["a", "b", "c"], generator("pinned", seed))
        digest.update(viewed.images.numpy().tobytes())
        digest.update(viewed.texts[0].encode())
    assert digest.hexdigest()[:16] == expected
