"""How close each image is to its text.

Shape legend: N images, D width; text row i of (N, D) is the caption, or the class, of image i.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from cyclip_pl.metrics.base import ExactSums, as_double


def cosines(image_ND: Tensor, text_ND: Tensor) -> Tensor:
    """<I_i, T_i> of unit-norm rows, float64, (N,)."""
    return (as_double(image_ND) * as_double(text_ND)).sum(1)


def squared_distances(image_ND: Tensor, text_ND: Tensor) -> Tensor:
    """|I_i - T_i|^2, float64, (N,)."""
    return (as_double(image_ND) - as_double(text_ND)).square().sum(1)


class LabelAlignment(ExactSums):
    """mean_i <I_i, T_y(i)>, higher is closer (CyCLIP, arXiv 2205.14459).

    T_y(i) is the embedding of the image's class. Rows have unit norm; nan if one is not finite.

        alignment = LabelAlignment()
        alignment.update(image_ND, class_KD[label_N])
        self.log("val/alignment", alignment)
    """

    higher_is_better = True

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_sum("cosine")

    def update(self, image_ND: Tensor, text_ND: Tensor) -> None:
        """Add images, (N, D), and the embeddings of their classes, (N, D)."""
        self.add("cosine", cosines(image_ND, text_ND))
        self.count = self.count + len(image_ND)

    def compute(self) -> Tensor:
        """A scalar, float64."""
        return self.scalar((self.total("cosine") / self.count).item())


class CaptionAlignment(ExactSums):
    """mean_i |I_i - T_i|^2, lower is closer.

    Wang and Isola's alignment (arXiv 2005.10242) with the modalities as the two views. nan if a
    row is not finite.

        alignment = CaptionAlignment()
        alignment.update(image_ND, text_ND)
        self.log("val/alignment", alignment)
    """

    higher_is_better = False

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_sum("square")

    def update(self, image_ND: Tensor, text_ND: Tensor) -> None:
        """Add images, (N, D), and their captions, (N, D)."""
        self.add("square", squared_distances(image_ND, text_ND))
        self.count = self.count + len(image_ND)

    def compute(self) -> Tensor:
        """A scalar, float64."""
        return self.scalar((self.total("square") / self.count).item())
