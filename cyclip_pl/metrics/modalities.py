"""How the image and the text side of the space lie to each other.

Rows are unit-norm embeddings of any float type; arithmetic is float64, on the rows' device.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from cyclip_pl.distributed import alone
from cyclip_pl.losses.consistency import consistency_terms

_ROWS = 1024


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
