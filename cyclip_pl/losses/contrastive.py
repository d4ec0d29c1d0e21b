"""Symmetric InfoNCE over the global batch (CLIP; CyCLIP eq. 1)."""

from __future__ import annotations

import torch
from torch import Tensor

from cyclip_pl.distributed import world_size
from cyclip_pl.losses.kernels.contrastive_pairs import ContrastivePairs
from cyclip_pl.losses.kernels.negatives import Form, choose, negatives_both_ways, scalar
from cyclip_pl.losses.kernels.pairs import check_pair, gradients_wanted, pair_loss
from cyclip_pl.losses.kernels.precision import full_precision


@full_precision
def contrastive_loss(
    image: Tensor,
    text: Tensor,
    scale: Tensor | float,
    form: Form | None = None,
    caption_ids: Tensor | None = None,
) -> Tensor:
    """½[CE(s·I·Tᵀ, diag) + CE(s·T·Iᵀ, diag)], the mean over the N samples of all ranks.

        image, text = (normalize(torch.randn(8, 512), dim=-1).requires_grad_() for _ in range(2))
        loss = contrastive_loss(image, text, scale=1 / 0.07)
        loss.backward()

    Args:
        image, text: (n, D) unit-norm rows of this rank; row k of both is one pair.
        scale: s, the multiplier, not its logarithm.
        form: "dense" holds n×N scores, "tiled" one tile; None chooses the faster by shape.
        caption_ids: (1, n); samples with equal numbers are not each other's negatives. Always
            dense.
    """
    check_pair(image, text)
    alone = world_size() == 1 and caption_ids is None
    if alone and choose(form, image[None], text[None]) == "dense":
        leaves = image, text, scalar(scale, image)
        return ContrastivePairs.apply(*leaves, gradients_wanted(*leaves))
    by_image, by_text = negatives_both_ways(image[None], text[None], scale, form, caption_ids)
    return pair_loss(image, text, scale, torch.cat([by_image, by_text]))
