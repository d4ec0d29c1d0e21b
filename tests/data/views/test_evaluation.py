from __future__ import annotations

import pickle

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from torchvision.transforms import PILToTensor

from cyclip_pl.data.views.evaluation import evaluation_transform


def noise(width: int, height: int, mode: str = "RGB") -> Image.Image:
    rng = np.random.default_rng(width * 1000 + height)
    shape = (height, width, 3) if mode == "RGB" else (height, width)
    return Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8))


def of_open_clip(image: Image.Image, size: int) -> torch.Tensor:
    """open_clip's evaluation transform without its last two steps, scaling and normalising."""
    steps = open_clip.image_transform(size, is_train=False).transforms
    for step in steps[:-2]:
        image = step(image)
    return PILToTensor()(image)


@pytest.mark.parametrize("size", [32, 63, 224])
@pytest.mark.parametrize(
    "shape", [(64, 64), (100, 70), (71, 233), (500, 333), (63, 63), (224, 300), (31, 40), (20, 300)]
)
def test_pixels_are_those_of_open_clip(shape: tuple[int, int], size: int) -> None:
    image = noise(*shape)
    ours = evaluation_transform(size)(image)
    assert ours.shape == (3, size, size) and ours.dtype == torch.uint8 and ours.is_contiguous()
    assert torch.equal(ours, of_open_clip(image, size))


def test_grey_pixels_too() -> None:
    image = noise(90, 60, "L")
    assert torch.equal(evaluation_transform(32)(image), of_open_clip(image, 32))


def test_normalised_it_is_open_clips_input() -> None:
    transform = open_clip.image_transform(32, is_train=False)
    image = noise(90, 60)
    normalise = transform.transforms[-1]
    ours = normalise(evaluation_transform(32)(image).float() / 255)
    torch.testing.assert_close(ours, transform(image))


@pytest.mark.parametrize("shape", [(1, 5000), (5000, 1), (3, 100_000)])
def test_strips_are_not_enlarged_before_they_are_cut(shape: tuple[int, int]) -> None:
    image = Image.new("RGB", shape, (10, 20, 30))
    transformed = evaluation_transform(64)(image)
    assert transformed.shape == (3, 64, 64)
    assert transformed[:, 5, 5].tolist() == [10, 20, 30]


def test_the_cut_shows_the_centre() -> None:
    strip = Image.new("RGB", (1700, 100), "black")
    strip.paste("white", (800, 0, 900, 100))
    assert (evaluation_transform(50)(strip) == 255).float().mean() > 0.95


def test_transparency_is_white() -> None:
    assert (evaluation_transform(8)(Image.new("RGBA", (20, 10))) == 255).all()


def test_it_can_be_sent_to_a_worker() -> None:
    image = noise(30, 40)
    sent = pickle.loads(pickle.dumps(evaluation_transform(16)))
    assert torch.equal(sent(image), evaluation_transform(16)(image))
