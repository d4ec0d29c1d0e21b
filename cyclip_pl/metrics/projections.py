"""Similarity histograms and a joint PCA of both modalities: numbers for a report's figures.

Shape legend: N images, M texts, D width, B bins.
"""

from __future__ import annotations

import torch
from torch import Tensor

_ROWS = 1024


def similarity_histograms(
    image_ND: Tensor,
    text_MD: Tensor,
    image_group_N: Tensor,
    text_group_M: Tensor,
    bins: int = 100,
) -> tuple[Tensor, Tensor]:
    """Counts of the cosines of true pairs and of all other pairs of an image and a text.

    A pair is true if both are of one group: pair number and pair number, label and class number,
    or picture and the picture that a caption tells of. Bin b of B holds the cosines from
    -1 + 2b/B up to, without, -1 + 2(b+1)/B; the last holds 1 too. Cosines that are not finite are
    in no bin.

    Args:
        image_ND: Unit-norm rows.
        text_MD: Likewise.
        image_group_N: int64.
        text_group_M: int64.
        bins: B.

    Returns:
        (true, other), int64, (B,) each, on the CPU.
    """
    text_MD = text_MD.double()
    counts_2B = torch.zeros(2, bins, dtype=torch.int64)
    for image_nD, group_n in zip(image_ND.split(_ROWS), image_group_N.split(_ROWS), strict=True):
        cosine_nM = image_nD.double() @ text_MD.T
        finite_nM = cosine_nM.isfinite()
        true_nM = group_n[:, None] == text_group_M
        bin_nM = ((cosine_nM + 1) * (bins / 2)).nan_to_num().long().clamp_(0, bins - 1)
        for row, mask_nM in enumerate((true_nM, ~true_nM)):
            chosen = bin_nM[mask_nM & finite_nM]
            counts_2B[row] += torch.bincount(chosen, minlength=bins).cpu()
    return counts_2B[0], counts_2B[1]


def joint_pca(image_ND: Tensor, text_MD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Both modalities on the two main axes of all their rows together.

    Rows are centred on the common mean. The sign of an axis is that which makes its largest
    loading positive, of equal ones the first: the same embeddings give the same picture.

    Returns:
        Images (N, 2), texts (M, 2), and the share of the total variance on each axis (2,), all
        float64; of rows that do not vary at all the share is 0.

    Raises:
        ValueError: D is less than 2, or a row is not finite.
    """
    if image_ND.shape[1] < 2:
        raise ValueError("a PCA in two dimensions needs embeddings of two or more")
    both = torch.cat([image_ND, text_MD]).double()
    if not both.isfinite().all():
        raise ValueError("embeddings that are not finite have no PCA")
    centred = both - both.mean(0)
    variance_D, axis_DD = torch.linalg.eigh(centred.T @ centred)
    axis_D2 = axis_DD[:, -2:].flip(1)
    largest_12 = axis_D2.abs().argmax(0, keepdim=True)
    axis_D2 = axis_D2 * axis_D2.gather(0, largest_12).sign()
    total = variance_D.sum()
    share_2 = variance_D[-2:].flip(0) / total if total > 0 else torch.zeros_like(variance_D[-2:])
    point_2 = centred @ axis_D2
    return point_2[: len(image_ND)], point_2[len(image_ND) :], share_2
