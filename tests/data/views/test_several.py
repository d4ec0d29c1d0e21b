from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from cyclip_pl.data.seeds import generator
from cyclip_pl.data.views.augmented import Augmented
from cyclip_pl.data.views.parameters import LEGEND
from cyclip_pl.data.views.plain import Plain
from cyclip_pl.data.views.several import Several
from cyclip_pl.data.views.weak import Weak


def an_image() -> Image.Image:
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 256, (50, 70, 3), dtype=np.uint8))


def three() -> Several:
    strong = Augmented(16, scale=(0.08, 1.0), blur=0.5)
    return Several(["weak", "strong", "strong"], weak=Weak(16, flip=0.0), strong=strong)


def test_it_is_a_function_of_the_generator() -> None:
    views = three()
    sent = pickle.loads(pickle.dumps(views))
    assert (views.image_views, views.text_views, views.parameters) == (3, 1, len(LEGEND))
    for seed in range(5):
        first = views(an_image(), ["a", "b"], generator("t", seed))
        again = sent(an_image(), ["a", "b"], generator("t", seed))
        other = views(an_image(), ["a", "b"], generator("t", seed + 100))
        assert first.images.shape == (3, 3, 16, 16) and first.images.dtype == torch.uint8
        assert first.augmentation.shape == (3, 12) and first.augmentation.dtype == torch.float32
        assert torch.equal(first.images, again.images) and first.texts == again.texts
        assert torch.equal(first.augmentation, again.augmentation)
        for view in range(3):
            assert not torch.equal(first.images[view], other.images[view])
            assert not torch.equal(first.augmentation[view], other.augmentation[view])


def test_views_are_those_of_their_kinds_drawn_one_after_the_other() -> None:
    views, rng = three(), generator("t")
    viewed = views(an_image(), ["a"], generator("t"))
    for i, view in enumerate(views.views):
        pixels, parameters = view.view(an_image(), rng)
        assert torch.equal(viewed.images[i], pixels)
        torch.testing.assert_close(viewed.augmentation[i], torch.tensor(parameters))


def test_the_two_strong_views_are_independent() -> None:
    views = Several(["strong", "strong"], strong=Augmented(4, scale=(0.08, 1.0), blur=1.0))
    image = an_image()
    drawn = torch.stack(
        [views(image, ["a"], generator("t", seed)).augmentation for seed in range(2000)]
    ).numpy()
    names = [i for i, name in enumerate(LEGEND) if name != "rotation"]
    first, second = drawn[:, 0, names], drawn[:, 1, names]
    between = np.corrcoef(first.T, second.T)[: len(names), len(names) :]
    assert np.abs(between).max() < 0.09  # four standard deviations of 2,000 pairs
    np.testing.assert_allclose(first.mean(0), second.mean(0), atol=0.06)


def test_the_caption_is_one_of_the_captions() -> None:
    rng = generator("t")
    drawn = {three()(an_image(), ["a", "b"], rng).texts[0] for _ in range(30)}
    assert drawn == {"a", "b"}


@pytest.mark.parametrize("order", [[], ["other"]])
def test_refusals(order: list[str]) -> None:
    with pytest.raises(ValueError, match=r"views.order.*whole"):
        Several(order, whole=Plain(8))
