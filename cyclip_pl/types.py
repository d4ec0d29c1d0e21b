"""What crosses folders: the data's batches, the encoders' features, the projectors' embeddings.

Shape legend: V image views, U text views, N samples of this rank, C channels, H W pixels,
L tokens, F feature width, D embedding width, K clusters, S width of the self-supervised head,
P augmentation parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor


@dataclass
class Batch:
    """One rank's samples.

    Attributes:
        images: (V, N, 3, H, W), uint8; the encoder normalises them on the device. From the
            loader each is in `channels_last`.
        texts: (U, N, L), int64 tokens.
        augmentation: (V, N, P), float32, how each image view was made; or None.
        skipped: Number of samples skipped since the reader's previous batch, by cause.
        skipped_in: A few of their shards, by cause.
        keys: N names of samples, `<shard>/<key>`, for messages; empty if the data has no names.
        caption_ids: (1, N), int64, equal for samples whose captions are all the same; or None.
        drawn: How far the batch's reader has come, as `cyclip_pl.data.position.Drawn`.
    """

    images: Tensor
    texts: Tensor
    augmentation: Tensor | None = None
    skipped: dict[str, int] = field(default_factory=dict)
    skipped_in: dict[str, list[str]] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    drawn: tuple[int, ...] = (0, 0)
    caption_ids: Tensor | None = None

    def __len__(self) -> int:
        return self.images.shape[1]

    def _map(self, move: Callable[[Tensor], Tensor]) -> Batch:
        tensors = {name: x for name, x in vars(self).items() if isinstance(x, Tensor)}
        moved: dict[str, Any] = {name: move(x) for name, x in tensors.items()}
        return replace(self, **moved)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """Copy to `device`, as `Tensor.to` does."""
        return self._map(lambda x: x.to(device, non_blocking=non_blocking))

    def record_stream(self, stream: torch.cuda.Stream) -> None:
        """Keep the memory until `stream` has used it, as `Tensor.record_stream` does."""
        for x in vars(self).values():
            if isinstance(x, Tensor):
                x.record_stream(stream)

    def split(self, size: int) -> list[Batch]:
        """Split into consecutive pieces of at most `size` samples: views, not copies.

        The pieces are as equal in size as possible, because a small last piece would have poor
        batch statistics.
        """
        pieces = math.ceil(len(self) / size)
        parts = self.images, self.texts, self.augmentation
        cut = [x.tensor_split(pieces, dim=1) for x in parts if x is not None]
        return [Batch(*piece) for piece in zip(*cut, strict=True)]

    def pin_memory(self) -> Batch:
        """A copy in pinned memory, which `DataLoader(pin_memory=True)` asks for."""
        return self._map(Tensor.pin_memory)


@dataclass
class Features:
    """The towers' outputs, not normalised: image (V, N, F), text (U, N, F)."""

    image: Tensor
    text: Tensor


@dataclass
class Embeddings:
    """What objectives see.

    Attributes:
        image, text: (V, N, D) and (U, N, D), unit-norm rows of the joint space.
        image_clusters, text_clusters: (V, N, K) and (U, N, K), log-probabilities, if the projector
            has the head `clusters`.
        image_views: (V, N, S), unit-norm rows, if the projector has the head `views`.
        caption_ids: The batch's, see `Batch`.
    """

    image: Tensor
    text: Tensor
    image_clusters: Tensor | None = None
    text_clusters: Tensor | None = None
    image_views: Tensor | None = None
    caption_ids: Tensor | None = None

    def pairs(self) -> list[tuple[Tensor, Tensor]]:
        """Each image view (N, D) with each text view (N, D)."""
        return [(image, text) for image in self.image for text in self.text]


class Model(Protocol):
    """All that an evaluation uses of a model, ours or any other."""

    @property
    def preprocess(self) -> Callable[[Any], Tensor]:
        """PIL image → one tensor; `encode_image` takes a stack of them."""

    tokenizer: Callable[[Sequence[str]], Tensor]
    """Strings → int64 tokens (N, L)."""
    scale: float
    """Multiplier of the similarities, exp(logit_scale)."""

    @property
    def device(self) -> torch.device:
        """The device that computes."""

    def encode_image(self, images: Tensor) -> Tensor:
        """Preprocessed images (N, 3, H, W) → unit-norm embeddings (N, D)."""

    def encode_text(self, texts: Sequence[str] | Tensor) -> Tensor:
        """Strings, or tokens (N, L) → unit-norm embeddings (N, D)."""


@runtime_checkable
class FeatureModel(Protocol):
    """A `Model` that also gives the features which linear probes and kNN use."""

    def encode_image_and_features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """As `encode_image`, and the encoder's features (N, F), not normalised."""
