"""An encoder and a projector as a package of somebody's own has them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from torch import Tensor, nn

from cyclip_pl.projectors.base import Projector
from cyclip_pl.types import Batch, Features

MEAN, STD = (torch.tensor(x).view(3, 1, 1) for x in (OPENAI_DATASET_MEAN, OPENAI_DATASET_STD))


class LetterEncoder(nn.Module):
    """Mean colours of a coarse grid, and counts of letters, each through a linear map."""

    def __init__(self, image_size: int, width: int) -> None:
        super().__init__()
        self.image_size, self.embed_dim = image_size, width
        self.of_image = nn.Linear(3 * 16, width)
        self.of_text = nn.EmbeddingBag(128, width)

    def tokenizer(self, texts: str | Sequence[str]) -> Tensor:
        texts = [texts] if isinstance(texts, str) else texts
        rows = [[min(ord(letter), 127) for letter in text[:24].ljust(24)] for text in texts]
        return torch.tensor(rows)

    def encode_image(self, images: Tensor) -> Tensor:
        # Floats are normalised already.
        pixels = (images / 255 - MEAN) / STD if images.dtype == torch.uint8 else images
        return self.of_image(nn.functional.adaptive_avg_pool2d(pixels, 4).flatten(1))

    def encode_text(self, tokens: Tensor) -> Tensor:
        return self.of_text(tokens)

    def forward(self, batch: Batch) -> Features:
        image = [self.encode_image(view) for view in batch.images]
        return Features(
            torch.stack(image), torch.stack([self.encode_text(view) for view in batch.texts])
        )


class Shifted(Projector):
    """The features and a shift per modality."""

    def __init__(self, features: int) -> None:
        super().__init__(features)
        self.shift = nn.Parameter(torch.zeros(2, features))

    def image_head(self, features: Tensor, augmentation: Tensor | None) -> Tensor:
        return features + self.shift[0]

    def text_head(self, features: Tensor) -> Tensor:
        return features + self.shift[1]
