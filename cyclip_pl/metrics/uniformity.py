"""How evenly the pairs of an image and another image's text are spread."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from cyclip_pl.metrics.base import ExactSums, as_double

_HELD = 1 << 22  # numbers at once: 32 MiB


class LabelUniformity(ExactSums):
    """log[1/(N(N-1)) sum_{i != j} exp(-<I_i, T_y(j)>)] (CyCLIP, arXiv 2205.14459).

    T_y(j) is the embedding of image j's class. Images of one class share it, so N x K products are
    enough. Rows have unit norm; nan with fewer than two images.

        uniformity = LabelUniformity(num_classes=10)
        uniformity.update(image_ND, class_KD, label_N)
        self.log("val/uniformity", uniformity)
    """

    higher_is_better = False
    sums = {"of_class": 1, "own": 0}  # of each class over all images; of images with their own
    image_K: Tensor

    def __init__(self, num_classes: int, **kwargs: Any) -> None:
        super().__init__(num_classes, **kwargs)
        self.add_count("image_K", num_classes)

    def update(self, image_ND: Tensor, class_KD: Tensor, label_N: Tensor) -> None:
        """Add images, (N, D), and their classes, int64, (N,); all class embeddings, (K, D)."""
        rows = max(1, _HELD // len(class_KD))
        for image_nD, label_n in zip(image_ND.split(rows), label_N.split(rows), strict=True):
            potential_nK = (as_double(image_nD) @ as_double(class_KD).T).neg_().exp_()
            own_n1 = label_n.to(potential_nK.device)[:, None]
            self.add("of_class", potential_nK.sum(0), len(image_nD))
            self.add("own", potential_nK.gather(1, own_n1)[:, 0], len(image_nD))
        self.image_K = self.image_K + torch.bincount(label_N, minlength=len(class_KD))

    def compute(self) -> Tensor:
        pairs = self.count("own") * (self.count("own") - 1)
        total = as_double(self.image_K) @ self.total("of_class") - self.total("own")
        return self.scalar(_log_mean(total.item(), pairs))


class CaptionUniformity(ExactSums):
    """log mean_{i > j} exp(-2 |I_i - T_j|^2), lower is more uniform.

    Wang and Isola's uniformity (arXiv 2005.10242) of images and the captions of other images. nan
    with fewer than two pairs.

        uniformity = CaptionUniformity()
        uniformity.update(image_ND, text_MD)
        self.log("val/uniformity", uniformity)
    """

    higher_is_better = False
    sums = {"potential": 0}

    def update(self, image_ND: Tensor, text_MD: Tensor, position_N: Tensor | None = None) -> None:
        """Compare some images of a set with the captions of those before them.

        `text_MD` are the captions of all images, in order; `position_N` tells which is an image's,
        int64, 0, 1, ... if None.
        """
        if position_N is None:
            position_N = torch.arange(len(image_ND), device=image_ND.device)
        rows = max(1, _HELD // len(text_MD))
        for image_nD, position_n in zip(image_ND.split(rows), position_N.split(rows), strict=True):
            text_mD = as_double(text_MD[: max(position_n.tolist(), default=0)])
            image_nD = as_double(image_nD)
            square_nm = torch.addmm(text_mD.square().sum(1), image_nD, text_mD.T, alpha=-2)
            square_nm.add_(image_nD.square().sum(1)[:, None])
            position_n1 = position_n.to(square_nm.device)[:, None]
            before_nm = torch.arange(len(text_mD), device=square_nm.device) < position_n1
            potential_nm = square_nm.mul_(-2).exp_().where(before_nm, 0.0)
            self.add("potential", potential_nm.sum(1), position_n.sum())

    def compute(self) -> Tensor:
        return self.scalar(_log_mean(self.total("potential").item(), self.count("potential")))


def _log_mean(total: float, pairs: int) -> float:
    return math.log(total / pairs) if pairs and total > 0 else math.nan
