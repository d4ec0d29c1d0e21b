from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import AutoAugment

from cyclip_pl.data.seeds import generator
from cyclip_pl.data.views.auto_augment import auto_augment


def an_image() -> Image.Image:
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8))


def test_it_is_torchvisions_imagenet_policy_seeded_by_the_generator() -> None:
    for seed in range(20):
        augmented = auto_augment(an_image(), generator("t", seed))
        torch.manual_seed(int(generator("t", seed).integers(2**63)))
        assert np.array_equal(augmented, AutoAugment()(an_image()))
        assert augmented.mode == "RGB" and augmented.size == (40, 30)


def test_torchs_generator_is_left_as_it_was() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = np.asarray(auto_augment(an_image(), generator("t")))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(4)
    assert np.array_equal(auto_augment(an_image(), generator("t")), first)


def test_each_call_draws_again() -> None:
    rng = generator("t")
    drawn = {np.asarray(auto_augment(an_image(), rng)).tobytes() for _ in range(60)}
    assert len(drawn) > 20
