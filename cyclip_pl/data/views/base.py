"""What every views object is called with and gives, and the base of those with one image view."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor

from cyclip_pl.data.lazy_image import LazyImage
from cyclip_pl.data.views.parameters import LEGEND, Parameters, vectors


@dataclass(frozen=True)
class ViewedSample:
    """One sample as the model will see it.

    Attributes:
        images: Uint8, (V, 3, H, W).
        texts: U captions.
        augmentation: Float32, (V, P), how each image view was made (`parameters.LEGEND`), or None.
    """

    images: Tensor
    texts: list[str]
    augmentation: Tensor | None = None


class Views(Protocol):
    """Makes the views of a sample; all randomness comes from the generator that is passed in.

    Attributes:
        image_views, text_views: V and U.
        parameters: P; 0 where `ViewedSample.augmentation` is None.
    """

    image_views: int
    text_views: int
    parameters: int

    def __call__(
        self, image: LazyImage, captions: list[str], rng: np.random.Generator
    ) -> ViewedSample:
        """An image and its captions (one or more) → its views.

        The image may be undecoded: `lazy_image.whole` gives all of it.

        Raises:
            Undecodable: It is a JPEG that cannot be decoded.
        """


class ImageView(ABC):
    """One view of the image and one of its captions; `Several` combines image views."""

    image_views = 1
    text_views = 1
    parameters = len(LEGEND)

    @abstractmethod
    def view(self, image: LazyImage, rng: np.random.Generator) -> tuple[Tensor, Parameters]:
        """An image → uint8, (3, H, W), and how the view was made."""

    def __call__(
        self, image: LazyImage, captions: list[str], rng: np.random.Generator
    ) -> ViewedSample:
        pixels, parameters = self.view(image, rng)
        return ViewedSample(pixels[None], [draw_caption(captions, rng)], vectors([parameters]))


def draw_caption(captions: list[str], rng: np.random.Generator) -> str:
    """One of the captions, each as likely."""
    return captions[int(rng.random() * len(captions))]
