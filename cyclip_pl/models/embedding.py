"""The trained towers as evaluations, users and exports see them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from cyclip_pl.data.views.evaluation import evaluation_transform
from cyclip_pl.encoders.dual import DualEncoder
from cyclip_pl.projectors.base import Projector


class EmbeddingModel(nn.Module):
    """An encoder and a projector behind the `Model` protocol of `cyclip_pl.types`.

    Args:
        encoder, projector: trained together; shared, not copied.
        scale: the multiplier of the similarities, exp(logit_scale).
    """

    def __init__(self, encoder: DualEncoder, projector: Projector, scale: float = 1.0) -> None:
        super().__init__()
        self.encoder = encoder
        self.projector = projector
        self.scale = scale
        self.tokenizer: Callable[[Sequence[str]], Tensor] = encoder.tokenizer
        # PIL image → uint8 (3, H, W): shorter side resized bicubically, centre crop.
        self.preprocess: Callable[[Any], Tensor] = evaluation_transform(encoder.image_size)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def encode_image(self, images: Tensor) -> Tensor:
        """uint8 (N, 3, H, W), or floats already normalised → unit-norm (N, D)."""
        return self.encode_image_and_features(images)[0]

    def encode_image_and_features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """As `encode_image`, and the encoder's features (N, F), not normalised."""
        features = self.encoder.encode_image(images.to(self.device))
        return self.projector.project_image(features), features

    def encode_text(self, texts: Sequence[str] | Tensor) -> Tensor:
        """Strings, or tokens (N, L) → unit-norm (N, D)."""
        tokens = texts if isinstance(texts, Tensor) else self.tokenizer(list(texts))
        return self.projector.project_text(self.encoder.encode_text(tokens.to(self.device)))
