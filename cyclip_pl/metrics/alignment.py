"""How close each image is to its text.

Shape legend: N images, D width; text row i of (N, D) is the caption, or the class, of image i.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from cyclip_pl.metrics.base import ExactSums, as_double

_ROWS = 1024


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


def label_alignment(image_ND: Tensor, class_KD: Tensor, label_N: Tensor) -> float:
    """mean_i <I_i, T_y(i)>, higher is closer (CyCLIP, arXiv 2205.14459).

    Args:
        image_ND: (N, D).
        class_KD: Class embeddings T.
        label_N: The class y(i) of each image, int64.
    """
    return (image_ND.double() * class_KD[label_N].double()).sum(1).mean().item()


def label_uniformity(image_ND: Tensor, class_KD: Tensor, label_N: Tensor) -> float:
    """log[1/(N(N-1)) sum_{i != j} exp(-<I_i, T_y(j)>)] (CyCLIP); arguments as `label_alignment`.

    Images of one class share a row of T, so that N x K products do.

    Raises:
        ValueError: There are fewer than two images.
    """
    _at_least_two(image_ND)
    class_KD = class_KD.double()
    images_K = torch.bincount(label_N, minlength=len(class_KD)).double()
    total = 0.0
    for image_nD, label_n in zip(image_ND.split(_ROWS), label_N.split(_ROWS), strict=True):
        exp_nK = (-image_nD.double() @ class_KD.T).exp()
        total += (exp_nK @ images_K - exp_nK.gather(1, label_n[:, None])[:, 0]).sum().item()
    return math.log(total / (len(image_ND) * (len(image_ND) - 1)))


def caption_alignment(image_ND: Tensor, text_ND: Tensor) -> float:
    """mean_i |I_i - T_i|^2, lower is closer.

    Wang and Isola's alignment (arXiv 2005.10242) with the modalities as the two views.
    """
    return (image_ND.double() - text_ND.double()).square().sum(1).mean().item()


def caption_uniformity(image_ND: Tensor, text_ND: Tensor) -> float:
    """log mean_{i > j} exp(-2 |I_i - T_j|^2), lower is more uniform; source as above.

    Raises:
        ValueError: There are fewer than two pairs.
    """
    _at_least_two(image_ND)
    total = 0.0
    for first in range(0, len(image_ND), _ROWS):
        image_nD = image_ND[first : first + _ROWS].double()
        text_mD = text_ND[: first + len(image_nD)].double()
        square_nm = (
            image_nD.square().sum(1)[:, None] + text_mD.square().sum(1) - 2 * image_nD @ text_mD.T
        )
        total += (-2 * square_nm).exp().tril(first - 1).sum().item()
    return math.log(total / (len(image_ND) * (len(image_ND) - 1) / 2))


def _at_least_two(image_ND: Tensor) -> None:
    if len(image_ND) < 2:
        raise ValueError(f"uniformity is over pairs of different images: {len(image_ND)} given")
