from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from cyclip_pl.models.base import ImageTextModel
from cyclip_pl.types import FeatureModel


class _Lengths(ImageTextModel):
    """A text's token is its length."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.scale = 1.0
        self.preprocess = nn.Identity()

    def tokenizer(self, texts: Sequence[str]) -> Tensor:
        return torch.tensor([[len(text)] for text in texts])

    def encode_image_and_features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return images / 2, images

    def encode_tokens(self, tokens: Tensor) -> Tensor:
        assert tokens.device == self.device
        return tokens.float()


@pytest.mark.parametrize(
    ("texts", "rows"),
    [
        (["a dog", "a horse"], [[5.0], [7.0]]),
        (("a dog",), [[5.0]]),
        ("a dog", [[5.0]]),  # not one text per character
        (torch.tensor([[3], [4]]), [[3.0], [4.0]]),
    ],
)
def test_texts_are_strings_or_tokens(texts: str | Sequence[str] | Tensor, rows: list) -> None:
    assert _Lengths().encode_text(texts).tolist() == rows


def test_images_have_embeddings_and_features() -> None:
    model, images = _Lengths(), torch.ones(1, 3, 2, 2)
    assert isinstance(model, FeatureModel)
    assert torch.equal(model.encode_image(images), images / 2)
    assert torch.equal(model.encode_image_and_features(images)[1], images)
