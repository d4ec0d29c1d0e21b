"""A distribution over clusters a modality, beside the encoder's own joint space."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from cyclip_pl.projectors.base import Projector, widened
from cyclip_pl.types import Embeddings, Features

# The least log-probability that a score still tells apart.
_FLOOR = -100.0


class Clusters(Projector):
    """nCLIP's heads (Zhou et al., arXiv 2210.09304): p = softmax(u/τ), q = softmax(v/τ).

    A head is Linear → BatchNorm → GELU → Linear to K. The joint space is the encoder's own.

    Evaluations see one or the other. As unit-norm rows of width K + 2 whose inner product is the
    cluster score −CE(p, q) / (100·√K):

        image  [p, 0, √(1 − ‖p‖²)]      text  [ℓ, √(1 − ‖ℓ‖²), 0],   ℓ = log q / (100·√K),

    with log q bounded below by −100. So prompts can be averaged, neighbours searched and captions
    retrieved as with any model.

    Args:
        features: width F of the encoder's features.
        clusters: K.
        width: of the hidden layer.
        temperature: τ.
        last_batch_norm: an affine-free BatchNorm on u and v.
        zero_shot: what evaluations see, `clusters` or `joint`.

    Raises:
        ValueError: a number out of its range, or another `zero_shot`.
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
        for name, value, least in (("clusters", clusters, 2), ("width", width, 1)):
            if value < least:
                raise ValueError(f"projector.{name} must be at least {least}, got {value}")
        if temperature <= 0:
            raise ValueError(f"projector.temperature must be above 0, got {temperature}")
        if zero_shot not in ("clusters", "joint"):
            raise ValueError(f"projector.zero_shot must be clusters or joint, got {zero_shot!r}")
        self.temperature = temperature
        self.zero_shot = zero_shot
        self.image = _head(features, width, clusters, last_batch_norm)
        self.text = _head(features, width, clusters, last_batch_norm)

    def image_head(self, features: Tensor, augmentation: Tensor | None) -> Tensor:
        return features

    def text_head(self, features: Tensor) -> Tensor:
        return features

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
    # A bias before a BatchNorm would be taken away again.
    layers = [
        nn.Linear(features, width, bias=False),
        nn.BatchNorm1d(width),
        nn.GELU(),
        nn.Linear(width, clusters, bias=not last_batch_norm),
    ]
    return nn.Sequential(
        *layers, *([nn.BatchNorm1d(clusters, affine=False)] if last_batch_norm else [])
    )


def _rest(x: Tensor) -> Tensor:
    """What a row of norm at most one lacks to one."""
    return (1 - x.square().sum(-1, keepdim=True)).clamp(min=0).sqrt()
