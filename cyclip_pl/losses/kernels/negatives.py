"""Log-sum-exp over each row's negatives: what every contrastive loss here is made of.

A row's negatives are the rows of all *other* samples, of all ranks and all views. With n_i that
log-sum-exp and s_ip the score of a positive, −log[e^{s_ip} / (e^{s_ip} + e^{n_i})] =
softplus(n_i − s_ip), which keeps its digits where the pair is as good as won.

Two forms: "dense" holds the scores; "tiled" (tiled_negatives.py) a tile of them, at one more
product in four and O(N·D) memory. Scores are float32 or wider.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from cyclip_pl.distributed import gather, rank, world_size
from cyclip_pl.losses.kernels.tiled_negatives import NegativesBetween, NegativesWithin

Form = Literal["dense", "tiled"]

# 512 × 512 scores between two ranks' rows: where the times cross on a CPU. With fewer a rank, and
# many ranks, a ring of small tiles is slower than n×N scores at once, up to 256 MB of them.
DENSE_BLOCK, DENSE_SCORES = 1 << 18, 1 << 26


def negatives_both_ways(
    x: Tensor, y: Tensor, scale: Tensor | float, form: Form | None = None
) -> tuple[Tensor, Tensor]:
    """By row of x over y's negatives, and by row of y over x's.

    Args:
        x: (V, n, D) rows of this rank, views of n samples.
        y: (U, n, D) likewise, of the same samples.
        scale: s, the multiplier of ⟨x_i,y_j⟩.
        form: "dense" or "tiled"; None takes the cheaper by shape.

    Returns:
        (V, n) and (U, n); −∞ in a batch of one.

    Raises:
        ValueError: an unknown form.
    """
    if choose(form, x, y) == "tiled":
        rows, columns = _between(x, y, scale, both_ways=True)
        return rows, columns
    scores = negative_scores(x, y, scale)
    rows = scores.logsumexp((2, 3))
    # One process has both directions in one matrix; a rank has only its own rows of it.
    columns = scores.logsumexp((0, 1)) if world_size() == 1 else _dense(y, x, scale)
    return rows, columns


def negatives_one_way(
    x: Tensor, y: Tensor, scale: Tensor | float, form: Form | None = None
) -> Tensor:
    """The first of `negatives_both_ways` alone."""
    if choose(form, x, y) == "tiled":
        return _between(x, y, scale, both_ways=False)[0]
    return _dense(x, y, scale)


def negatives_within(x: Tensor, scale: Tensor | float, form: Form | None = None) -> Tensor:
    """By row of x (V, n, D) over x's own negatives, (V, n)."""
    if choose(form, x, x) == "tiled":
        flat = NegativesWithin.apply(x.flatten(0, 1), scalar(scale, x), x.shape[1])
        return flat.view(x.shape[:2])
    return _dense(x, x, scale)


def choose(form: Form | None, x: Tensor, y: Tensor) -> Form:
    """The form by shape: x (V, n, D) of this rank against y (U, n, D) of all."""
    if form is None:
        block = x.shape[:-1].numel() * y.shape[:-1].numel()
        worth_it = block > DENSE_BLOCK or block * world_size() > DENSE_SCORES
        return "tiled" if worth_it else "dense"
    if form not in ("dense", "tiled"):
        raise ValueError(f'form must be "dense", "tiled" or None, got {form!r}')
    return form


def _between(x: Tensor, y: Tensor, scale: Tensor | float, both_ways: bool) -> tuple[Tensor, Tensor]:
    rows, columns = NegativesBetween.apply(
        x.flatten(0, 1), y.flatten(0, 1), scalar(scale, x), x.shape[1], both_ways
    )
    return rows.view(x.shape[:2]), columns.view(y.shape[:2])


def _dense(x: Tensor, y: Tensor, scale: Tensor | float) -> Tensor:
    return negative_scores(x, y, scale).logsumexp((2, 3))


def negative_scores(x: Tensor, y: Tensor, scale: Tensor | float) -> Tensor:
    """(V, n, U, N): this rank's rows against everyone's, −∞ where both are of one sample."""
    everyone = gather(y.transpose(0, 1).contiguous()).transpose(0, 1)
    scores = (scale * x).flatten(0, 1) @ everyone.flatten(0, 1).T
    scores = scores.view(*x.shape[:2], *everyone.shape[:2])
    scores.diagonal(rank() * x.shape[1], 1, 3).fill_(-torch.inf)
    return scores


def scalar(scale: Tensor | float, like: Tensor) -> Tensor:
    """A tensor without dimensions, for an autograd function."""
    return scale.reshape(()) if isinstance(scale, Tensor) else like.new_full((), scale)
