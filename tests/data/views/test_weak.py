import numpy as np
import pytest
import torch
from PIL import Image

from cyclip_pl.data.seeds import generator
from cyclip_pl.data.views.weak import Weak


def an_image() -> Image.Image:
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 256, (50, 70, 3), dtype=np.uint8))


def test_it_is_a_function_of_the_generator() -> None:
    views = Weak(24)
    first, again, other = (views(an_image(), ["a", "b"], generator("t", s)) for s in (0, 0, 1))
    assert first.images.shape == (1, 3, 24, 24) and first.images.dtype == torch.uint8
    assert torch.equal(first.images, again.images) and first.texts == again.texts
    assert not torch.equal(first.images, other.images)


def test_colours_stay() -> None:
    plain = Image.new("RGB", (50, 40), (10, 120, 250))
    viewed = Weak(16)(plain, ["a"], generator("t"))
    assert torch.equal(
        viewed.images[0], torch.tensor([10, 120, 250]).view(3, 1, 1).expand(3, 16, 16)
    )


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="views.scale"):
        Weak(16, scale=(0.5, 2.0))
