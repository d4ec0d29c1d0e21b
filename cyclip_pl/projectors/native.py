"""No head of its own: the encoder's projection alone."""

from __future__ import annotations

from torch import Tensor

from cyclip_pl.projectors.base import Projector


class Native(Projector):
    """The identity, since each open_clip tower ends in a projection."""

    def image_head(self, features: Tensor, augmentation: Tensor | None) -> Tensor:
        return features

    def text_head(self, features: Tensor) -> Tensor:
        return features
