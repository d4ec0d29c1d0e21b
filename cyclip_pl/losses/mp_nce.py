"""MP-NCE: one loss over all views of both modalities (UniCLIP, arXiv 2209.13430, section 3.2)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from cyclip_pl.distributed import gather, rank, sum_over_ranks, world_size
from cyclip_pl.losses.precision import full_precision

PairWeight = Literal["balanced", "uniform"]


@full_precision
def mp_nce_loss(
    image: Tensor,
    text: Tensor,
    scales: Tensor,
    offsets: Tensor,
    pair_weight: PairWeight = "balanced",
) -> Tensor:
    """The weighted mean over ordered positive pairs (i, p) of

        −log[e^{s_ip} / (e^{s_ip} + Σ_{n∈N(i)} e^{s_in})] = softplus(logsumexp_n s_in − s_ip).

    P(i) is every other embedding of the same sample and N(i) every embedding of the other samples,
    of both modalities. The similarity is the domain's own: s_ij = (⟨z_i,z_j⟩ − b_D)·s_D for D of
    image-image, image-text, text-text.

    Args:
        image: (V, n, D) unit-norm rows of this rank, n equal on all ranks.
        text: (U, n, D) likewise; row k of each view belongs to sample k.
        scales: (3,), 1/τ_D by domain in that order.
        offsets: (3,), b_D likewise.
        pair_weight: "balanced" takes the mean within image→image, image→text, text→image and (of
            several texts) text→text, and then theirs; "uniform" the mean of all pairs.

    Returns:
        The global loss, a scalar, equal on every rank.

    Raises:
        ValueError: shapes that differ, an unknown `pair_weight`, or a global batch of one sample,
            which has no negatives.
    """
    if image.ndim != 3 or text.ndim != 3 or image.shape[1:] != text.shape[1:]:
        raise ValueError(
            "image and text embeddings must be (V, n, D) and (U, n, D), "
            f"got {tuple(image.shape)} and {tuple(text.shape)}"
        )
    if pair_weight not in ("balanced", "uniform"):
        raise ValueError(f'pair_weight must be "balanced" or "uniform", got {pair_weight!r}')
    if image.shape[1] * world_size() < 2:
        raise ValueError("a batch of one sample has no negatives")
    sums, counts = [], []
    negatives = [_negatives(own, (image, text), scales, offsets) for own in (0, 1)]
    for own, anchors in enumerate((image, text)):
        for other, positives in enumerate((image, text)):
            losses = [
                -logsigmoid(
                    (((anchor * positive).sum(-1) - offsets[own + other]) * scales[own + other])
                    - negatives[own][i]
                ).sum()
                for i, anchor in enumerate(anchors)
                for p, positive in enumerate(positives)
                if (own, i) != (other, p)
            ]
            if losses:
                sums.append(torch.stack(losses).sum())
                counts.append(len(losses) * image.shape[1] * world_size())
    totals = sum_over_ranks(torch.stack(sums))
    if pair_weight == "uniform":
        return totals.sum() / sum(counts)
    return (totals / totals.new_tensor(counts)).mean()


def _negatives(
    own: int, modalities: tuple[Tensor, Tensor], scales: Tensor, offsets: Tensor
) -> Tensor:
    """Log-sum-exp over N(i) for every view of modality `own`, (V, n); domains add their numbers."""
    anchors = modalities[own]
    n = anchors.shape[1]
    sums = []
    for other, views in enumerate(modalities):
        # (V', N, D): every rank's rows of every view.
        keys = gather(views.transpose(0, 1).contiguous()).transpose(0, 1)
        scores = (anchors.flatten(0, 1) @ keys.flatten(0, 1).T - offsets[own + other]) * scales[
            own + other
        ]
        scores = scores.view(len(anchors), n, len(views), -1)
        same = torch.eye(n, dtype=torch.bool, device=scores.device)
        mine = slice(rank() * n, (rank() + 1) * n)
        mask = torch.zeros_like(scores[0, :, 0], dtype=torch.bool)
        mask[:, mine] = same
        sums.append(scores.masked_fill(mask[:, None], -torch.inf).logsumexp((2, 3)))
    return torch.logaddexp(*sums)
