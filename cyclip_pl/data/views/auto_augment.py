"""AutoAugment as a function of a generator."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from PIL import Image


def auto_augment(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """One of the 25 pairs of operations of AutoAugment's ImageNet policy; RGB → RGB, same size.

    Cubuk et al. 2019 (arXiv 1805.09501), torchvision's implementation and defaults.
    """
    # It draws from torch's CPU generator, whose state is restored. `torch.manual_seed` would also
    # seed the accelerators.
    with torch.random.fork_rng(devices=()):
        torch.default_generator.manual_seed(int(rng.integers(2**63)))
        return _policy()(image)


@lru_cache(1)
def _policy() -> Callable[[Image.Image], Image.Image]:
    from torchvision.transforms import AutoAugment

    return AutoAugment()
