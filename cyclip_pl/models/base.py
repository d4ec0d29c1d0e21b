"""What all models have in common: the device, and which texts they take."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


def filled(
    build: Callable[[], Network], weights: Mapping[str, Tensor], sketch: bool = True
) -> Network:
    """Build a network and fill it with weights, which must be exactly its own.

    Args:
        sketch: Build it without memory first, so that settings of a stranger cannot ask for more
            than the weights hold.

    Raises:
        RuntimeError: A weight is missing, has another shape, or is left over.
    """
    if sketch:
        with torch.device("meta"):
            build().load_state_dict(weights, assign=True)
    network = build()
    network.load_state_dict(weights)
    return network


class ImageTextModel(nn.Module, ABC):
    """Base of the models behind `Model` and `FeatureModel` of `cyclip_pl.types`.

    A subclass sets the three attributes, see `Model`, and implements the two abstract methods.
    """

    preprocess: Callable[[Any], Tensor]
    tokenizer: Callable[[Sequence[str]], Tensor]
    scale: float
    bias: float | None = None  # of the scaled similarities, for models trained with one

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.parameters()).device

    def encode_image(self, images: Tensor) -> Tensor:
        """Preprocessed images (N, 3, H, W) → unit-norm rows (N, D)."""
        return self.encode_image_and_features(images)[0]

    @abstractmethod
    def encode_image_and_features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """As `encode_image`, and the features (N, F) for linear probes, not normalised."""

    def encode_text(self, texts: str | Sequence[str] | Tensor) -> Tensor:
        """N strings, or one, or tokens (N, L) → unit-norm rows (N, D)."""
        if not isinstance(texts, Tensor):
            texts = self.tokenizer([texts] if isinstance(texts, str) else list(texts))
        return self.encode_tokens(texts.to(self.device))

    @abstractmethod
    def encode_tokens(self, tokens: Tensor) -> Tensor:
        """Tokens (N, L) on the model's device → unit-norm rows (N, D)."""
