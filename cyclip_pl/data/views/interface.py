"""What every views object is called with and gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor

from cyclip_pl.data.lazy_image import Picture


@dataclass(frozen=True)
class ViewedSample:
    """One sample as the model will see it.

    Attributes:
        images: uint8, (V, 3, H, W).
        texts: U captions.
        augmentation: float32, (V, P), how each image view was made (`parameters.LEGEND`), or None.
    """

    images: Tensor
    texts: list[str]
    augmentation: Tensor | None = None


class Views(Protocol):
    """Makes the views of a sample; all randomness comes from the generator it is handed."""

    @property
    def image_views(self) -> int:
        """V."""
        ...

    @property
    def text_views(self) -> int:
        """U."""
        ...

    @property
    def parameters(self) -> int:
        """P, 0 where `ViewedSample.augmentation` is None."""
        ...

    def __call__(
        self, picture: Picture, captions: list[str], rng: np.random.Generator
    ) -> ViewedSample:
        """A picture and its captions (one or more) -> its views.

        What needs all of the picture asks for `picture.whole`; it may be undecoded.

        Raises:
            Undecodable: It is a JPEG that cannot be decoded.
        """
        ...


def draw_caption(captions: list[str], rng: np.random.Generator) -> str:
    """One of the captions, each as likely."""
    return captions[int(rng.random() * len(captions))]
