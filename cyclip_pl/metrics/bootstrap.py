"""Confidence intervals of shares and means, by the percentile bootstrap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

RESAMPLES = 1000
LEVEL = 0.95
SEED = 0
PROTOCOL: dict[str, Any] = {
    "method": "percentile",
    "resamples": RESAMPLES,
    "level": LEVEL,
    "seed": SEED,
}
"""How every `_low` and `_high` was made, for the details of an evaluation."""

_DRAWN = 1 << 24  # numbers drawn at once


def interval(value_U: ArrayLike, weight_U: ArrayLike | None = None) -> tuple[float, float]:
    """Bounds of the mean of U values, each resampled with its weight.

    What is resampled must be independent: of the captions of one image, resample the images, with
    the mean over an image's captions as value and their number as weight. The same values give
    the same bounds whatever their order, the platform's random state and the process.

    The bootstrap (Efron and Tibshirani, 1993, chapter 13) resamples U units with replacement and
    takes quantiles of the means. Units of equal value and weight are interchangeable, so that only
    how many of each kind are drawn is random, and that is multinomial: a share of a million images
    needs two numbers a resample. Where all values are the same, nothing varies and the bounds are
    that value: with no hit at all they say nothing of how rare hits are.

    Args:
        value_U: Finite values, one or more.
        weight_U: Positive weights; 1 unless given.

    Returns:
        The quantiles (1 - LEVEL) / 2 and (1 + LEVEL) / 2 of RESAMPLES weighted means.
    """
    value = np.asarray(value_U, dtype=np.float64)
    weight = np.ones_like(value) if weight_U is None else np.asarray(weight_U, dtype=np.float64)
    assert value.ndim == 1 and value.shape == weight.shape and len(value) > 0
    assert bool((weight > 0).all()) and bool(np.isfinite(value).all())
    kinds, times = np.unique(np.stack([value, weight], axis=1), axis=0, return_counts=True)
    generator = np.random.default_rng(SEED)
    means = []
    at_once = max(1, _DRAWN // len(kinds))
    for start in range(0, RESAMPLES, at_once):
        rounds = min(at_once, RESAMPLES - start)
        drawn = generator.multinomial(len(value), times / len(value), size=rounds) * kinds[:, 1]
        means.append((drawn * kinds[:, 0]).sum(1) / drawn.sum(1))
    low, high = np.quantile(np.concatenate(means), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def with_intervals(
    figures: Mapping[str, float], values: Mapping[str, Tensor], weight_U: Tensor | None = None
) -> dict[str, float]:
    """The figures, each followed by its `_low` and `_high` where `values` has its units."""
    found: dict[str, float] = {}
    for name, figure in figures.items():
        found[name] = figure
        if name in values:
            found[f"{name}_low"], found[f"{name}_high"] = interval(
                values[name].double().numpy(), None if weight_U is None else weight_U.numpy()
            )
    return found
