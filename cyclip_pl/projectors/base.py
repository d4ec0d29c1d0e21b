"""What all projectors have in common: one head per modality, and rows of unit norm."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from cyclip_pl.types import Embeddings, Features


class Projector(nn.Module, ABC):
    """Base class; a subclass implements `image_head` and `text_head`.

    A subclass with further heads names them in `heads` and adds their outputs in `forward`.
    Constructors raise ValueError, one line, for an argument out of the range that `Args` states.

    Args:
        features: Width F of the encoder's features.

    Attributes:
        heads: Outputs beside the joint space: `clusters`, `views`.
        parameters_read: Number P of the augmentation parameters that it takes, 0 for none.
    """

    heads: frozenset[str] = frozenset()
    parameters_read = 0

    def __init__(self, features: int) -> None:
        super().__init__()
        self.features = features

    @property
    def embed_dim(self) -> int:
        """Width D of the rows that evaluations see; F unless a subclass changes it."""
        return self.features

    @abstractmethod
    def image_head(self, features: Tensor, augmentation: Tensor | None) -> Tensor:
        """Features (..., F), augmentation (..., P) or None for the identity → (..., D)."""

    @abstractmethod
    def text_head(self, features: Tensor) -> Tensor:
        """(..., F) → (..., D)."""

    def project_image(self, features: Tensor, augmentation: Tensor | None = None) -> Tensor:
        """(..., F) → (..., D), unit norm, float32 at least."""
        return unit(self.image_head(features, augmentation))

    def project_text(self, features: Tensor) -> Tensor:
        """(..., F) → (..., D), unit norm, float32 at least."""
        return unit(self.text_head(features))

    def forward(self, features: Features, augmentation: Tensor | None = None) -> Embeddings:
        """(V, N, F), (U, N, F) and (V, N, P) → (V, N, D) and (U, N, D)."""
        return Embeddings(
            image=self.project_image(features.image, augmentation),
            text=self.project_text(features.text),
        )

    def check(self, views: Any) -> None:
        """Raise ValueError unless `views` reports the augmentation parameters that this takes."""
        if self.parameters_read and views.parameters != self.parameters_read:
            raise ValueError(
                f"projector: {type(self).__name__} takes {self.parameters_read} augmentation"
                f" parameters, views gives {views.parameters}; choose another views=… or"
                " projector=…"
            )


def unit(x: Tensor) -> Tensor:
    """Rows of unit norm, float32 at least."""
    # bfloat16 has less than three digits: too few for a cosine times a scale of 100.
    return normalize(widened(x), dim=-1)


def widened(x: Tensor) -> Tensor:
    """Half precision as float32, any other type unchanged."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
