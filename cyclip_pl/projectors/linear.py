"""A linear map a modality, without bias, to a width of one's choice."""

from __future__ import annotations

from torch import Tensor, nn

from cyclip_pl.projectors.base import Projector


class Linear(Projector):
    """Foldable into the towers' own projections: the product of two linear maps is one.

    Args:
        features: width F of the encoder's features.
        dim: width D of the embeddings.

    Raises:
        ValueError: dim below 1.
    """

    def __init__(self, features: int, dim: int) -> None:
        super().__init__(features)
        if dim < 1:
            raise ValueError(f"projector.dim must be at least 1, got {dim}")
        self.image = nn.Linear(features, dim, bias=False)
        self.text = nn.Linear(features, dim, bias=False)

    def image_head(self, features: Tensor, augmentation: Tensor | None) -> Tensor:
        return self.image(features)

    def text_head(self, features: Tensor) -> Tensor:
        return self.text(features)
