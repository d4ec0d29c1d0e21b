"""A self-supervised head for images, beside the encoder's own joint space."""

from __future__ import annotations

from torch import Tensor, nn

from cyclip_pl import checks
from cyclip_pl.projectors.base import unit
from cyclip_pl.projectors.native import Native
from cyclip_pl.types import Embeddings, Features


class SelfSupervised(Native):
    """SLIP's MLP (Mu et al., arXiv 2112.12750): twice Linear → BatchNorm → ReLU, then Linear.

    It takes the encoder's features, which open_clip has projected. (SLIP takes the features before
    that projection.) Evaluations see the joint space.

    Args:
        features: Width F of the encoder's features.
        dim: Width S of the head's rows, 1 or more.
        width: Width of both hidden layers, 1 or more.
    """

    heads = frozenset({"views"})

    def __init__(self, features: int, dim: int, width: int) -> None:
        super().__init__(features)
        checks.whole("projector.dim", dim)
        checks.whole("projector.width", width)
        self.mlp = nn.Sequential(
            nn.Linear(features, width, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(inplace=True),
            nn.Linear(width, width, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(inplace=True),
            nn.Linear(width, dim),
        )

    def forward(self, features: Features, augmentation: Tensor | None = None) -> Embeddings:
        """(V, N, F) and (U, N, F) → the joint space and `image_views` (V, N, S)."""
        rows = super().forward(features)
        views = self.mlp(features.image.flatten(0, 1)).unflatten(0, features.image.shape[:2])
        rows.image_views = unit(views)
        return rows
