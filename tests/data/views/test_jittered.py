import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from cyclip_pl.data.seeds import generator
from cyclip_pl.data.views.jittered import Jittered
from cyclip_pl.data.views.weak import Weak


def picture() -> Image.Image:
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 256, (50, 70, 3), dtype=np.uint8))


def test_it_is_a_function_of_the_generator() -> None:
    views = Jittered(24, rotation=10)
    sent = pickle.loads(pickle.dumps(views))
    for seed in range(5):
        first = views(picture(), ["a", "b"], generator("t", seed))
        again = sent(picture(), ["a", "b"], generator("t", seed))
        assert first.images.shape == (1, 3, 24, 24) and first.images.dtype == torch.uint8
        assert torch.equal(first.images, again.images) and first.texts == again.texts
        other = views(picture(), ["a", "b"], generator("t", seed + 100))
        assert not torch.equal(first.images, other.images)


def test_without_colours_it_is_the_weak_view() -> None:
    plain = Jittered(24, jitter=0.0, grayscale=0.0)
    ours = plain(picture(), ["a"], generator("t")).images
    assert torch.equal(ours, Weak(24)(picture(), ["a"], generator("t")).images)


def test_colours_change() -> None:
    image = Image.new("RGB", (50, 40), (100, 120, 140))
    rng = generator("t")
    views = Jittered(8)
    colours = {tuple(views(image, ["a"], rng).images[0, :, 4, 4].tolist()) for _ in range(100)}
    assert len(colours) > 70
    # A fifth of them grey, and a fifth of the rest as they were.
    assert (100, 120, 140) in colours and any(len(set(colour)) == 1 for colour in colours)


def test_settings_are_checked() -> None:
    for setting, value in (("jitter", 2), ("rotation", -1), ("scale", (0, 1))):
        with pytest.raises(ValueError, match=f"views.{setting}"):
            Jittered(16, **{setting: value})  # type: ignore[arg-type]
