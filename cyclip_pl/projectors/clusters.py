"""A distribution over clusters per modality, beside the encoder's own joint space."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from cyclip_pl import checks
from cyclip_pl.projectors.base import widened
from cyclip_pl.projectors.native import Native
from cyclip_pl.types import Embeddings, Features

# Log-probabilities below this count as equal.
_FLOOR = -100.0


class Clusters(Native):
    """nCLIP's heads (Zhou et al., arXiv 2210.09304): p = softmax(u/τ), q = softmax(v/τ).

    A head is Linear → BatchNorm → GELU → Linear to K. The joint space is the encoder's own.

    Evaluations see one of both. The clusters become unit-norm rows of width K + 2, whose inner
    product is the score −CE(p, q) / (100·√K):

        image  [p, 0, √(1 − ‖p‖²)]      text  [ℓ, √(1 − ‖ℓ‖²), 0],   ℓ = log q / (100·√K),

    with log q at least −100. So evaluations average prompts, search neighbours and retrieve
    captions as with any model.

    K = 32,768 and the two distributions are the paper's. The layers and their width, τ,
    `last_batch_norm` and the zero-shot score are *our choice*.

    Args:
        features: Width F of the encoder's features.
        clusters: K, 2 or more.
        width: Width of the hidden layer, 1 or more.
        temperature: τ, above 0.
        last_batch_norm: Whether an affine-free BatchNorm follows on u and v.
        zero_shot: What evaluations see, `clusters` or `joint`.
    """

    heads = frozenset({"clusters"})

    def __init__(
        self,
        features: int,
        clusters: int,
        width: int,
        temperature: float,
        last_batch_norm: bool,
        zero_shot: Literal["clusters", "joint"],
    ) -> None:
        super().__init__(features)
        checks.whole("projector.clusters", clusters, least=2)
        checks.whole("projector.width", width)
        checks.number("projector.temperature", temperature, above=0)
        checks.one_of("projector.zero_shot", zero_shot, ("clusters", "joint"))
        self.clusters = clusters
        self.temperature = temperature
        self.zero_shot = zero_shot
        self.image = _head(features, width, clusters, last_batch_norm)
        self.text = _head(features, width, clusters, last_batch_norm)

    @property
    def embed_dim(self) -> int:
        return self.features if self.zero_shot == "joint" else self.clusters + 2

    def project_image(self, features: Tensor, augmentation: Tensor | None = None) -> Tensor:
        if self.zero_shot == "joint":
            return super().project_image(features, augmentation)
        p = self.log_probabilities(self.image, features).exp()
        return torch.cat([p, torch.zeros_like(p[..., :1]), _rest(p)], dim=-1)

    def project_text(self, features: Tensor) -> Tensor:
        if self.zero_shot == "joint":
            return super().project_text(features)
        log_q = self.log_probabilities(self.text, features).clamp(min=_FLOOR)
        scaled = log_q / (-_FLOOR * math.sqrt(log_q.shape[-1]))
        return torch.cat([scaled, _rest(scaled), torch.zeros_like(scaled[..., :1])], dim=-1)

    def forward(self, features: Features, augmentation: Tensor | None = None) -> Embeddings:
        """(V, N, F) and (U, N, F) → the joint space and log p (V, N, K), log q (U, N, K)."""
        return Embeddings(
            image=super().project_image(features.image),
            text=super().project_text(features.text),
            image_clusters=self.log_probabilities(self.image, features.image),
            text_clusters=self.log_probabilities(self.text, features.text),
        )

    def log_probabilities(self, head: nn.Module, features: Tensor) -> Tensor:
        """(..., F) → (..., K), float32 at least."""
        scores = head(features.flatten(0, -2)).unflatten(0, features.shape[:-1])
        return log_softmax(widened(scores) / self.temperature, dim=-1)


def _head(features: int, width: int, clusters: int, last_batch_norm: bool) -> nn.Sequential:
    # No bias before a BatchNorm, which would subtract it.
    head = nn.Sequential(
        nn.Linear(features, width, bias=False),
        nn.BatchNorm1d(width),
        nn.GELU(),
        nn.Linear(width, clusters, bias=not last_batch_norm),
    )
    return head.append(nn.BatchNorm1d(clusters, affine=False)) if last_batch_norm else head


def _rest(x: Tensor) -> Tensor:
    """The entry that makes a row of norm at most 1 a row of norm 1."""
    return (1 - x.square().sum(-1, keepdim=True)).clamp(min=0).sqrt()
