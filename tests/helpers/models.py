"""Models for evaluations: one with features, one of random rows."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize

from tests.helpers.evaluation_sets import TEMPLATES, TableModel, TinyNet


class FeatureNet(TinyNet):
    """A `TinyNet` that shows its features, and counts the images that it encodes."""

    images = 0

    def encode_image_and_features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        self.images += len(images)
        features = self.image(images.float() / 255)
        return normalize(self.head(features), dim=-1), features

    def encode_image(self, images: Tensor) -> Tensor:
        return self.encode_image_and_features(images)[0]


def random_model(samples: int, classnames: Sequence[str], seed: int = 0) -> TableModel:
    generator = torch.Generator().manual_seed(seed)
    prompts = [t.replace("{c}", name) for name in dict.fromkeys(classnames) for t in TEMPLATES]
    return TableModel(
        normalize(torch.randn(samples, 16, generator=generator), dim=-1),
        {p: normalize(torch.randn(16, generator=generator), dim=0) for p in prompts},
    )
