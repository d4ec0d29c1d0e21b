"""How evenly the pairs of an image and another image's text are spread.

All images are compared with all texts: each rank compares its own images, some rows at a time.

Shape legend: N images of one update, M texts, K classes, D width.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from cyclip_pl.metrics.base import ExactSums, as_double

_HELD = 1 << 22  # numbers at once: 32 MiB


def label_potentials(image_ND: Tensor, class_KD: Tensor) -> Tensor:
    """exp(-<I_i, T_k>) of unit-norm rows, float64, (N, K)."""
    return (as_double(image_ND) @ as_double(class_KD).T).neg_().exp_()


def caption_potentials(image_ND: Tensor, text_MD: Tensor) -> Tensor:
    """exp(-2 |I_i - T_j|^2), float64, (N, M)."""
    image_ND, text_MD = as_double(image_ND), as_double(text_MD)
    square_NM = torch.addmm(text_MD.square().sum(1), image_ND, text_MD.T, alpha=-2)
    return square_NM.add_(image_ND.square().sum(1)[:, None]).mul_(-2).exp_()


class LabelUniformity(ExactSums):
    """log[1/(N(N-1)) sum_{i != j} exp(-<I_i, T_y(j)>)] (CyCLIP, arXiv 2205.14459).

    T_y(j) is the embedding of image j's class. Images of one class share it, so N x K products are
    enough. Rows have unit norm; nan if one is not finite, or with fewer than two images.

        uniformity = LabelUniformity(num_classes=10)
        uniformity.update(image_ND, class_KD, label_N)
        self.log("val/uniformity", uniformity)
    """

    higher_is_better = False
    image_K: Tensor

    def __init__(self, num_classes: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_sum("of_class", num_classes)  # over all images, per class
        self.add_sum("own")  # of each image with its own class
        self.add_count("image_K", num_classes)

    def update(self, image_ND: Tensor, class_KD: Tensor, label_N: Tensor) -> None:
        """Add images, (N, D), and their classes, int64, (N,); all class embeddings, (K, D)."""
        rows = max(1, _HELD // len(class_KD))
        for image_nD, label_n in zip(image_ND.split(rows), label_N.split(rows), strict=True):
            potential_nK = label_potentials(image_nD, class_KD)
            self.add("of_class", potential_nK.sum(0))
            self.add("own", potential_nK.gather(1, label_n.to(potential_nK.device)[:, None])[:, 0])
        self.image_K = self.image_K + torch.bincount(label_N, minlength=len(class_KD))

    def compute(self) -> Tensor:
        """A scalar, float64."""
        pairs = int(self.image_K.sum()) * (int(self.image_K.sum()) - 1)
        total = as_double(self.image_K) @ self.total("of_class") - self.total("own")
        return self.scalar(_log_mean(total.item(), pairs))


class CaptionUniformity(ExactSums):
    """log mean_{i > j} exp(-2 |I_i - T_j|^2), lower is more uniform.

    Wang and Isola's uniformity (arXiv 2005.10242) of images and the captions of other images. nan
    if a row is not finite, or with fewer than two pairs.

        uniformity = CaptionUniformity()
        uniformity.update(image_ND, text_MD)
        self.log("val/uniformity", uniformity)
    """

    higher_is_better = False

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_sum("potential")

    def update(self, image_ND: Tensor, text_MD: Tensor, position_N: Tensor | None = None) -> None:
        """Compare images with the captions of those before them.

        Args:
            image_ND: Some images of the set.
            text_MD: The captions of all its images, in order.
            position_N: int64, the caption of each image; 0, 1, ... if None.
        """
        if position_N is None:
            position_N = torch.arange(len(image_ND), device=image_ND.device)
        rows = max(1, _HELD // len(text_MD))
        for image_nD, position_n in zip(image_ND.split(rows), position_N.split(rows), strict=True):
            text_mD = text_MD[: max(position_n.tolist(), default=0)]
            potential_nm = caption_potentials(image_nD, text_mD)
            order_m = torch.arange(len(text_mD), device=potential_nm.device)
            before_nm = order_m < position_n.to(potential_nm.device)[:, None]
            self.add("potential", potential_nm.where(before_nm, 0.0).sum(1))
        self.count = self.count + position_N.sum()

    def compute(self) -> Tensor:
        """A scalar, float64."""
        return self.scalar(_log_mean(self.total("potential").item(), int(self.count)))


def _log_mean(total: float, pairs: int) -> float:
    return math.log(total / pairs) if pairs and total > 0 else math.nan
