"""What every projector is: a head a modality, ending on the unit sphere."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from cyclip_pl.types import Embeddings, Features


class Projector(nn.Module, ABC):
    """Base class; a subclass implements `image_head` and `text_head`.

    Args:
        features: width F of the encoder's features.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.features = features

    @abstractmethod
    def image_head(self, features: Tensor, augmentation: Tensor | None) -> Tensor:
        """(..., F), and (..., P) or None for the identity augmentation → (..., D)."""

    @abstractmethod
    def text_head(self, features: Tensor) -> Tensor:
        """(..., F) → (..., D)."""

    def project_image(self, features: Tensor, augmentation: Tensor | None = None) -> Tensor:
        """(..., F) → (..., D), unit norm, float32 at least."""
        return _unit(self.image_head(features, augmentation))

    def project_text(self, features: Tensor) -> Tensor:
        """(..., F) → (..., D), unit norm, float32 at least."""
        return _unit(self.text_head(features))

    def forward(self, features: Features, augmentation: Tensor | None = None) -> Embeddings:
        """(V, N, F), (U, N, F) and (V, N, P) → (V, N, D) and (U, N, D)."""
        return Embeddings(
            image=self.project_image(features.image, augmentation),
            text=self.project_text(features.text),
        )


def _unit(x: Tensor) -> Tensor:
    # bfloat16 holds under three digits: too few for a cosine times a scale of 100.
    return normalize(x.float() if x.dtype in (torch.float16, torch.bfloat16) else x, dim=-1)
