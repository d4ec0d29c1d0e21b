from collections import Counter

import numpy as np
import torch
from PIL import Image

from cyclip_pl.data.seeds import generator
from cyclip_pl.data.views.evaluation import evaluation_transform
from cyclip_pl.data.views.parameters import LEGEND
from cyclip_pl.data.views.plain import Plain


def test_the_image_is_that_of_evaluations() -> None:
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (50, 70, 3), dtype=np.uint8))
    viewed = Plain(32)(image, ["a"], generator("t"))
    assert viewed.images.shape == (1, 3, 32, 32) and viewed.images.dtype == torch.uint8
    assert torch.equal(viewed.images[0], evaluation_transform(32)(image))
    assert torch.equal(viewed.augmentation, torch.zeros(1, len(LEGEND)))


def test_captions_are_drawn_evenly() -> None:
    image = Image.new("RGB", (4, 4))
    rng = generator("t")
    counts = Counter(Plain(4)(image, ["a", "b", "c"], rng).texts[0] for _ in range(3000))
    assert set(counts) == set("abc") and min(counts.values()) > 900
