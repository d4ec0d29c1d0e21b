"""All that crosses folders: what data gives, what encoders and projectors return.

Shape legend: V image views, U text views, N samples of this rank, C channels, H W pixels,
L tokens, F feature width, D embedding width, K clusters, S width of the self-supervision head,
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
        images: uint8, (V, N, 3, H, W); normalised by the encoder, on the device.
        texts: int64 tokens, (U, N, L).
        augmentation: float32, (V, N, P), how each image view was made, or None.
        skipped: samples left out since the reader's previous batch, by reason.
    """

    images: Tensor
    texts: Tensor
    augmentation: Tensor | None = None
    skipped: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.images.shape[1]

    def _map(self, move: Callable[[Tensor], Tensor]) -> Batch:
        moved = None if self.augmentation is None else move(self.augmentation)
        return replace(self, images=move(self.images), texts=move(self.texts), augmentation=moved)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """Copy to `device`; the name and the signature are those of `Tensor.to`."""
        return self._map(lambda x: x.to(device, non_blocking=non_blocking))

    def record_stream(self, stream: torch.cuda.Stream) -> None:
        """Keep the memory until `stream` is done with it; see `Tensor.record_stream`."""
        for x in (self.images, self.texts, self.augmentation):
            if x is not None:
                x.record_stream(stream)

    def split(self, size: int) -> list[Batch]:
        """Consecutive samples, at most `size` each and as many in each as can be: views, no copies.

        As even as possible, because a last piece of few samples would have poor batch statistics.
        """
        pieces = math.ceil(len(self) / size)
        parts = [self.images, self.texts]
        if self.augmentation is not None:
            parts.append(self.augmentation)
        cut = [x.tensor_split(pieces, dim=1) for x in parts]
        return [Batch(*piece) for piece in zip(*cut, strict=True)]

    def pin_memory(self) -> Batch:
        """Called by `DataLoader(pin_memory=True)`."""
        return self._map(Tensor.pin_memory)


@dataclass
class Features:
    """What the towers return, not normalised: image (V, N, F), text (U, N, F)."""

    image: Tensor
    text: Tensor


@dataclass
class Embeddings:
    """What objectives see.

    Attributes:
        image: unit-norm rows of the joint space, (V, N, D).
        text: likewise, (U, N, D).
        image_clusters: log-probabilities, (V, N, K), where the projector has the head `clusters`.
        text_clusters: likewise, (U, N, K).
        image_views: unit-norm rows, (V, N, S), where the projector has the head `views`.
    """

    image: Tensor
    text: Tensor
    image_clusters: Tensor | None = None
    text_clusters: Tensor | None = None
    image_views: Tensor | None = None

    def pairs(self) -> list[tuple[Tensor, Tensor]]:
        """Every image view with every text view, each (N, D) and (N, D)."""
        return [(image, text) for image in self.image for text in self.text]

    def cluster_pairs(self) -> list[tuple[Tensor, Tensor]]:
        """Every image view's log-probabilities with every text view's, each (N, K) and (N, K)."""
        assert self.image_clusters is not None and self.text_clusters is not None
        return [(p, q) for p in self.image_clusters for q in self.text_clusters]


class Model(Protocol):
    """All that an evaluation may ask of a model, ours or anyone's."""

    preprocess: Callable[[Any], Tensor]
    """PIL image -> what `encode_image` takes a stack of."""
    tokenizer: Callable[[Sequence[str]], Tensor]
    """Strings -> int64 tokens, (K, L)."""
    scale: float
    """The multiplier of the similarities, exp(logit_scale)."""

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        ...

    def encode_image(self, images: Tensor) -> Tensor:
        """Preprocessed images (N, 3, H, W) -> unit-norm embeddings (N, D)."""
        ...

    def encode_text(self, texts: Sequence[str] | Tensor) -> Tensor:
        """Strings, or tokens (N, L) -> unit-norm embeddings (N, D)."""
        ...


@runtime_checkable
class FeatureModel(Protocol):
    """What a `Model` may offer besides: the features that linear probes look at."""

    def encode_image_and_features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """What `encode_image` gives (N, D), and the encoder's features (N, F), not normalised."""
        ...
