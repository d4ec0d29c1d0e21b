"""MP-NCE: one loss over all views of both modalities (UniCLIP, arXiv 2209.13430, section 3.2)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from cyclip_pl.distributed import sum_over_ranks, world_size
from cyclip_pl.losses.kernels.negatives import Form, negatives_both_ways, negatives_within
from cyclip_pl.losses.kernels.precision import full_precision

PairWeight = Literal["balanced", "uniform"]


@full_precision
def mp_nce_loss(
    image: Tensor,
    text: Tensor,
    scales: Tensor,
    offsets: Tensor,
    pair_weight: PairWeight = "balanced",
    form: Form | None = None,
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
        form: "dense" holds the scores, "tiled" a tile of them; None takes the cheaper by shape.

    Returns:
        The global loss, a scalar, equal on every rank.

    Raises:
        ValueError: shapes that differ, an unknown `pair_weight` or form, or a global batch of one
            sample, which has no negatives.
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
    negatives = _negatives(image, text, scales, offsets, form)
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
    # Not divided by a tensor of the counts: the host would wait until a GPU has it.
    means = [total / count for total, count in zip(totals, counts, strict=True)]
    return torch.stack(means).mean()


def _negatives(
    image: Tensor, text: Tensor, scales: Tensor, offsets: Tensor, form: Form | None
) -> tuple[Tensor, Tensor]:
    """Log-sum-exp over N(i) of every image (V, n) and text (U, n); domains add their numbers."""
    # s(⟨z_i,z_j⟩ − b) is s·⟨z_i,z_j⟩ less a number, and so is its log-sum-exp.
    images, between, texts = scales * offsets
    by_image, by_text = negatives_both_ways(image, text, scales[1], form)
    return (
        torch.logaddexp(negatives_within(image, scales[0], form) - images, by_image - between),
        torch.logaddexp(negatives_within(text, scales[2], form) - texts, by_text - between),
    )
