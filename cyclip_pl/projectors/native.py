"""The encoder's own projection and nothing more."""

from __future__ import annotations

from torch import Tensor

from cyclip_pl.projectors.base import Projector


class Native(Projector):
    """Identity: every open_clip tower ends in its own projection."""

    def image_head(self, features: Tensor, augmentation: Tensor | None) -> Tensor:
        return features

    def text_head(self, features: Tensor) -> Tensor:
        return features
