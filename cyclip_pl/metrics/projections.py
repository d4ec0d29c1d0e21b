"""Similarity histograms and a joint PCA of both modalities: numbers for a report's plots."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from cyclip_pl.metrics.base import BaseMetric, RowSums, as_double

_ROWS = 1024


class SimilarityHistogram(BaseMetric):
    """Counts of the cosines of true pairs, and of all other pairs, of an image and a text.

    A pair is true if both have the same group: the number of the pair, or of the class, or of the
    image that a caption is for. Bin b of B holds the cosines from -1 + 2b/B up to, without,
    -1 + 2(b+1)/B; the last holds 1 too. Cosines that are not finite are in no bin.

        histogram = SimilarityHistogram(bins=50)
        histogram.update(image_ND, class_KD, label_N, torch.arange(len(class_KD)))
        true_B = histogram.compute()["true"]
    """

    count_2B: Tensor

    def __init__(self, bins: int = 100, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.bins = bins
        self.add_count("count_2B", 2, bins)

    def update(
        self, image_ND: Tensor, text_MD: Tensor, image_group_N: Tensor, text_group_M: Tensor
    ) -> None:
        """Compare images with texts: unit-norm rows, and int64 groups, (N,) and (M,)."""
        parts = zip(image_ND.split(_ROWS), image_group_N.split(_ROWS), strict=True)
        for image_nD, group_n in parts:
            cosine_nM = as_double(image_nD) @ as_double(text_MD).T
            true_nM = (group_n[:, None] == text_group_M).to(cosine_nM.device)
            bin_nM = ((cosine_nM + 1) * (self.bins / 2)).nan_to_num().long()
            # Bins of true pairs, of others, and one for what is in none.
            bin_nM = bin_nM.clamp_(0, self.bins - 1) + self.bins * ~true_nM
            bin_nM = bin_nM.where(cosine_nM.isfinite(), 2 * self.bins)
            counts = torch.bincount(bin_nM.flatten(), minlength=2 * self.bins + 1)[:-1]
            self.count_2B = self.count_2B + counts.view(2, -1).to(self.count_2B.device)

    def compute(self) -> dict[str, Tensor]:
        """`true` and `other`, int64, (B,) each."""
        return {"true": self.count_2B[0], "other": self.count_2B[1]}


class JointPCA(RowSums):
    """The two main axes of the rows of both modalities together.

    `mean`, the common mean, (D,); `axes`, (D, 2), each with the sign that makes its largest
    loading positive, of equal ones the first: the same embeddings give the same plot; `share`, the
    part of the total variance on each axis, (2,), 0 if the rows do not vary.

        pca = JointPCA(width=512)
        pca.update(image_ND, text_MD)
        point_N2 = project(image_ND, pca.compute())

    Raises:
        ValueError: D is less than 2.
    """

    sums = {"row": 1, "gram": 2}

    def __init__(self, width: int, **kwargs: Any) -> None:
        if width < 2:
            raise ValueError("a PCA in two dimensions needs embeddings of two or more")
        super().__init__(width, **kwargs)

    def update(self, image_ND: Tensor, text_MD: Tensor) -> None:
        """Add images, (N, D), and texts, (M, D)."""
        row_ND = torch.cat(self.doubles(image=image_ND, text=text_MD))
        self.add("row", row_ND.sum(0), len(row_ND))
        self.add("gram", row_ND.T @ row_ND, len(row_ND))

    def compute(self) -> dict[str, Tensor]:
        mean_D, gram_DD = self.mean("row"), self.mean("gram")
        covariance_DD = gram_DD - mean_D.outer(mean_D)
        if not covariance_DD.isfinite().all():
            nan = torch.full_like(gram_DD, math.nan)
            return {"mean": mean_D, "axes": nan[:, :2], "share": nan[0, :2]}
        variance_D, axis_DD = torch.linalg.eigh(covariance_DD)
        axis_D2 = axis_DD[:, -2:].flip(1)
        axis_D2 = axis_D2 * axis_D2.gather(0, axis_D2.abs().argmax(0, keepdim=True)).sign()
        # What is below the rounding of the two terms is not variance.
        varies = variance_D.sum() > 1e-14 * gram_DD.trace()
        share_2 = variance_D[-2:].flip(0) / variance_D.sum()
        return {"mean": mean_D, "axes": axis_D2, "share": share_2.where(varies, 0.0)}


def project(row_ND: Tensor, found: dict[str, Tensor]) -> Tensor:
    """Rows on the axes that `JointPCA` found, float64, (N, 2)."""
    return (as_double(row_ND) - found["mean"]) @ found["axes"]
