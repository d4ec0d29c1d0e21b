"""A linear map per modality, without bias, to any width."""

from __future__ import annotations

from torch import Tensor, nn

from cyclip_pl import checks
from cyclip_pl.projectors.base import Projector


class Linear(Projector):
    """Two linear maps, which can be folded into the towers' own projections.

    Args:
        features: Width F of the encoder's features.
        dim: Width D of the embeddings, 1 or more.
    """

    def __init__(self, features: int, dim: int) -> None:
        super().__init__(features)
        checks.whole("projector.dim", dim)
        self.image = nn.Linear(features, dim, bias=False)
        self.text = nn.Linear(features, dim, bias=False)

    @property
    def embed_dim(self) -> int:
        return self.image.out_features

    def image_head(self, features: Tensor, augmentation: Tensor | None) -> Tensor:
        return self.image(features)

    def text_head(self, features: Tensor) -> Tensor:
        return self.text(features)
