"""The geometry of the two modalities: how close true pairs are, how the rest is spread.

Rows are unit-norm embeddings of any float type; arithmetic is float64, on the rows' device. No
N x N matrix is held, only `_ROWS` rows of it.

Shape legend: N images, K classes, D width; text row i of (N, D) is the caption of image i.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from cyclip_pl.distributed import alone
from cyclip_pl.losses.consistency import consistency_terms

_ROWS = 1024


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


def modality_gap(image_ND: Tensor, text_MD: Tensor) -> float:
    """|mean of the images - mean of the texts|, Euclidean (Liang et al., arXiv 2203.02053)."""
    return (image_ND.double().mean(0) - text_MD.double().mean(0)).norm().item()


def inconsistency(image_ND: Tensor, text_ND: Tensor) -> tuple[float, float]:
    """CyCLIP's two consistency losses of these pairs as one batch: (in-modal, cross-modal).

    As in the loss the double sum over pairs is divided by N once: figures of batches of different
    sizes do not compare. Under a process group every rank brings the same rows.
    """
    with alone():
        in_modal, cross_modal = consistency_terms(image_ND.double(), text_ND.double())
    return in_modal.item(), cross_modal.item()


def effective_rank(x_ND: Tensor) -> float:
    """exp of the entropy of the normalised singular values (Roy and Vetterli, EUSIPCO 2007).

    Between 1 and min(N, D); the rows are not centred. The singular values are those of R, the
    triangle of a QR decomposition taken some rows at a time. Of rows that are not finite it is nan.
    """
    if not x_ND.isfinite().all():
        return math.nan  # LAPACK refuses them
    r_DD = x_ND[:0].double()
    for x_nD in x_ND.split(max(_ROWS, x_ND.shape[1])):
        r_DD = torch.linalg.qr(torch.cat([r_DD, x_nD.double()]), mode="r").R
    singular_D = torch.linalg.svdvals(r_DD)
    return torch.special.entr(singular_D / singular_D.sum()).sum().exp().item()


def labelled_geometry(image_ND: Tensor, class_KD: Tensor, label_N: Tensor) -> dict[str, float]:
    """The figures of a labelled set, by name; arguments as for `label_alignment`.

    The text side is the class embedding of each image.
    """
    return {
        "alignment": label_alignment(image_ND, class_KD, label_N),
        "uniformity": label_uniformity(image_ND, class_KD, label_N),
        **_of_modalities(image_ND, class_KD[label_N]),
    }


def captioned_geometry(image_ND: Tensor, text_ND: Tensor) -> dict[str, float]:
    """The figures of pairs of an image and its caption, by name."""
    return {
        "alignment": caption_alignment(image_ND, text_ND),
        "uniformity": caption_uniformity(image_ND, text_ND),
        **_of_modalities(image_ND, text_ND),
    }


def _of_modalities(image_ND: Tensor, text_ND: Tensor) -> dict[str, float]:
    in_modal, cross_modal = inconsistency(image_ND, text_ND)
    return {
        "modality_gap": modality_gap(image_ND, text_ND),
        "in_modal_inconsistency": in_modal,
        "cross_modal_inconsistency": cross_modal,
        "image_effective_rank": effective_rank(image_ND),
        "text_effective_rank": effective_rank(text_ND),
    }


def _at_least_two(image_ND: Tensor) -> None:
    if len(image_ND) < 2:
        raise ValueError(f"uniformity is over pairs of different images: {len(image_ND)} given")
