"""Log-sum-exp over each row's negatives, which all contrastive losses here are made of.

A row's negatives are the rows of all *other* samples, of all ranks and all views. Let n_i be their
log-sum-exp and s_ip the score of a positive. Then −log[e^{s_ip} / (e^{s_ip} + e^{n_i})] =
softplus(n_i − s_ip), which keeps its digits even where s_ip is much larger than n_i.

There are two forms. "dense" (dense_negatives.py) holds all scores: three matrix products. "tiled"
(tiled_negatives.py) holds one tile of them: O(N·D) memory, for four products. Where equal captions
are masked, the scores are held, by plain autograd. Scores are float32 or wider.

Shape legend: V, U views, n samples of this rank, N samples of all ranks, D width.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from cyclip_pl import checks
from cyclip_pl.distributed import gather, rank, world_size
from cyclip_pl.losses.kernels.dense_negatives import DenseNegatives
from cyclip_pl.losses.kernels.tiled_negatives import NegativesBetween, NegativesWithin

Form = Literal["dense", "tiled"]

# In one process the dense form is the faster one wherever it was measured; 2,048 × 2,048 scores, of
# which 50 MB are held, bound its memory. With several ranks, tiles are faster on a CPU above
# 512 × 512 scores between the rows of two ranks. With fewer rows per rank, a ring of small tiles is
# slower than n×N scores at once, up to 256 MB of them.
DENSE_ALONE, DENSE_BLOCK, DENSE_SCORES = 1 << 22, 1 << 18, 1 << 26


def negatives_both_ways(
    x: Tensor,
    y: Tensor,
    scale: Tensor | float,
    form: Form | None = None,
    caption_ids: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """By row of x over y's negatives, and by row of y over x's.

    Args:
        x, y: (V, n, D) and (U, n, D), views of the same samples of this rank.
        scale: s, the multiplier of ⟨x_i,y_j⟩.
        form: "dense" or "tiled"; None takes the faster by shape.
        caption_ids: (1, n); samples with equal numbers are not each other's negatives. Always
            dense.

    Returns:
        (V, n) and (U, n); −∞ in a batch of one, and the least finite number where equal captions
        leave a sample no negative.
    """
    if caption_ids is not None:
        return _masked(x, y, scale, caption_ids), _masked(y, x, scale, caption_ids)
    if choose(form, x, y) == "tiled":
        return _between(x, y, scale, both_ways=True)
    # One process has both directions in one matrix; a rank has only its rows of it.
    if world_size() == 1:
        return _dense(x, y, scale, both_ways=True)
    return _dense(x, y, scale)[0], _dense(y, x, scale)[0]


def negatives_one_way(
    x: Tensor,
    y: Tensor,
    scale: Tensor | float,
    form: Form | None = None,
    caption_ids: Tensor | None = None,
) -> Tensor:
    """By row of x over y's negatives only, (V, n)."""
    if caption_ids is not None:
        return _masked(x, y, scale, caption_ids)
    if choose(form, x, y) == "tiled":
        return _between(x, y, scale, both_ways=False)[0]
    return _dense(x, y, scale)[0]


def negatives_within(
    x: Tensor,
    scale: Tensor | float,
    form: Form | None = None,
    caption_ids: Tensor | None = None,
) -> Tensor:
    """By row of x (V, n, D) over x's own negatives, (V, n)."""
    if caption_ids is not None:
        return _masked(x, x, scale, caption_ids)
    if choose(form, x, x) == "tiled":
        flat = NegativesWithin.apply(x.flatten(0, 1), scalar(scale, x), x.shape[1])
        return flat.view(x.shape[:2])
    return _dense(x, x, scale)[0]


def choose(form: Form | None, x: Tensor, y: Tensor) -> Form:
    """The form by shape: x (V, n, D) of this rank against y (U, n, D) of all."""
    if form is None:
        block, ranks = x.shape[:-1].numel() * y.shape[:-1].numel(), world_size()
        if ranks == 1:
            return "tiled" if block > DENSE_ALONE else "dense"
        many = block > DENSE_BLOCK or block * ranks > DENSE_SCORES
        return "tiled" if many else "dense"
    checks.one_of("form", form, ("dense", "tiled"), optional=True)
    return form


def _between(x: Tensor, y: Tensor, scale: Tensor | float, both_ways: bool) -> tuple[Tensor, Tensor]:
    rows, columns = NegativesBetween.apply(
        x.flatten(0, 1), y.flatten(0, 1), scalar(scale, x), x.shape[1], both_ways
    )
    return rows.view(x.shape[:2]), columns.view(y.shape[:2])


def _dense(
    x: Tensor, y: Tensor, scale: Tensor | float, both_ways: bool = False
) -> tuple[Tensor, Tensor]:
    everyone = _of_all(y)
    samples = x.shape[1], everyone.shape[1]
    rows, columns = DenseNegatives.apply(
        x.flatten(0, 1),
        everyone.flatten(0, 1),
        scalar(scale, x),
        samples,
        rank() * x.shape[1],
        both_ways,
    )
    return rows.view(x.shape[:2]), columns.view(everyone.shape[:2])


def _masked(x: Tensor, y: Tensor, scale: Tensor | float, caption_ids: Tensor) -> Tensor:
    """By row of x (V, n, D) over those of y's negatives that have other captions, (V, n)."""
    equal = caption_ids.T == gather(caption_ids.T).T  # (n, N)
    scores = negative_scores(x, y, scale).masked_fill(equal[:, None], -torch.inf)
    # The gradient of `logaddexp` of two infinities would not be a number.
    return scores.flatten(2).logsumexp(2).clamp(min=torch.finfo(scores.dtype).min)


def negative_scores(x: Tensor, y: Tensor, scale: Tensor | float) -> Tensor:
    """(V, n, U, N): this rank's rows with those of all ranks, −∞ where both are of one sample."""
    everyone = _of_all(y)
    scores = (scale * x).flatten(0, 1) @ everyone.flatten(0, 1).T
    scores = scores.view(*x.shape[:2], *everyone.shape[:2])
    scores.diagonal(rank() * x.shape[1], 1, 3).fill_(-torch.inf)
    return scores


def _of_all(y: Tensor) -> Tensor:
    """(U, n, D) of this rank → (U, N, D) of all."""
    return gather(y.transpose(0, 1)).transpose(0, 1)


def scalar(scale: Tensor | float, like: Tensor) -> Tensor:
    """`scale` as a tensor without dimensions, for an autograd function."""
    return scale.reshape(()) if isinstance(scale, Tensor) else like.new_full((), scale)
