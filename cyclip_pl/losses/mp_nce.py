"""MP-NCE: one loss over all views of both modalities (UniCLIP, arXiv 2209.13430, section 3.2)."""

from __future__ import annotations

from itertools import product
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from cyclip_pl import checks
from cyclip_pl.distributed import sum_over_ranks, world_size
from cyclip_pl.losses.kernels.negatives import Form, negatives_both_ways, negatives_within
from cyclip_pl.losses.kernels.precision import full_precision

PairWeight = Literal["balanced", "uniform"]
Denominator = Literal["shared", "domain"]


@full_precision
def mp_nce_loss(
    image: Tensor,
    text: Tensor,
    scales: Tensor,
    offsets: Tensor,
    pair_weight: PairWeight = "balanced",
    form: Form | None = None,
    denominator: Denominator = "shared",
    caption_ids: Tensor | None = None,
) -> Tensor:
    """The weighted mean over ordered positive pairs (i, p) of

        −log[e^{s_ip} / (e^{s_ip} + Σ_{n∈N(i)} e^{s_in})] = softplus(logsumexp_n s_in − s_ip).

    P(i) are all other embeddings of the same sample. N(i) are all embeddings of the other samples,
    of both modalities. The similarity depends on the domain: s_ij = (⟨z_i,z_j⟩ − b_D)·s_D for D of
    image-image, image-text and text-text.

    Tested against the paper's formula is the term of one pair. The offsets b_D and the weights of
    the pairs are *our choice*.

    Args:
        image, text: (V, n, D) and (U, n, D) unit-norm rows of this rank; row k is sample k's.
        scales, offsets: (3,), s_D = 1/τ_D and b_D by domain in that order.
        pair_weight: "uniform" takes the mean of all pairs. "balanced" takes it within each of
            image→image, image→text, text→image and (of several texts) text→text, then over these.
        form: "dense" holds the scores, "tiled" one tile; None chooses the faster by shape.
        denominator: "shared" is the paper's, above. "domain" takes from N(i) only the embeddings of
            p's modality, whose offset then cancels; with one view and one text this is CLIP's loss.
        caption_ids: (1, n); samples with equal numbers are not each other's negatives. Always
            dense.

    Raises:
        ValueError: An unknown `pair_weight` or `denominator`, or a global batch of one sample: it
            has no negatives.
    """
    if image.ndim != 3 or text.ndim != 3 or image.shape[1:] != text.shape[1:]:
        raise ValueError(
            "image and text embeddings must be (V, n, D) and (U, n, D),"
            f" not {tuple(image.shape)} and {tuple(text.shape)}"
        )
    checks.one_of("pair_weight", pair_weight, ("balanced", "uniform"))
    checks.one_of("denominator", denominator, ("shared", "domain"))
    if image.shape[1] * world_size() < 2:
        raise ValueError("a batch of one sample has no negatives")
    modalities = image, text
    negatives = _negatives(image, text, scales, offsets, form, denominator, caption_ids)

    def pair_loss(anchor_nD: Tensor, positive_nD: Tensor, negative_n: Tensor, d: int) -> Tensor:
        score_n = ((anchor_nD * positive_nD).sum(-1) - offsets[d]) * scales[d]
        return -logsigmoid(score_n - negative_n).sum()

    sums, counts = [], []
    for own, other in product((0, 1), repeat=2):  # 0 is image, 1 is text
        domain = own + other  # 0 image-image, 1 image-text, 2 text-text
        losses = [
            pair_loss(anchor_nD, positive_nD, negatives[own][other][i], domain)
            for i, anchor_nD in enumerate(modalities[own])
            for p, positive_nD in enumerate(modalities[other])
            if (own, i) != (other, p)
        ]
        if losses:
            sums.append(torch.stack(losses).sum())
            counts.append(len(losses) * image.shape[1] * world_size())
    totals = sum_over_ranks(torch.stack(sums))
    if pair_weight == "uniform":
        return totals.sum() / sum(counts)
    # Not divided by a tensor of counts, whose copy to a GPU the host would wait for.
    means = [total / count for total, count in zip(totals, counts, strict=True)]
    return torch.stack(means).mean()


def _negatives(
    image: Tensor,
    text: Tensor,
    scales: Tensor,
    offsets: Tensor,
    form: Form | None,
    denominator: Denominator,
    caption_ids: Tensor | None,
) -> list[list[Tensor]]:
    """Log-sum-exp of s_in over the negatives of a pair (i, p), by the modalities of i and of p.

    Each is (V, n) for an image i, (U, n) for a text.
    """
    # s_D·b_D is the same for all scores of a domain, so it is subtracted from their log-sum-exp.
    images, between, texts = scales * offsets
    by_image, by_text = negatives_both_ways(image, text, scales[1], form, caption_ids)
    by_domain = [
        [negatives_within(image, scales[0], form, caption_ids) - images, by_image - between],
        [by_text - between, negatives_within(text, scales[2], form, caption_ids) - texts],
    ]
    if denominator == "domain":
        return by_domain
    return [[torch.logaddexp(*both)] * 2 for both in by_domain]
