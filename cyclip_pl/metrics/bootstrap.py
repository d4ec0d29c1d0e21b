"""Confidence intervals of shares and means, by the percentile bootstrap.

Shape legend: U units to resample, V distinct kinds of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

RESAMPLES, LEVEL, SEED = 1000, 0.95, 0
PROTOCOL = {"method": "percentile", "resamples": RESAMPLES, "level": LEVEL, "seed": SEED}
"""How every `_low` and `_high` was made, for the details of an evaluation."""

_DRAWN = 1 << 24  # numbers drawn at once


def interval(value_U: ArrayLike, weight_U: ArrayLike | None = None) -> tuple[float, float]:
    """Bounds of the mean of U finite values, each resampled with its positive weight, or 1.

    Units must be independent. For captions, resample images: the value is the mean over an image's
    captions, the weight their number. The bounds depend on the values alone, not on their order,
    the platform's random state or the process.

    The bootstrap (Efron and Tibshirani, 1993, chapter 13) resamples U units with replacement: the
    bounds are the quantiles (1 - LEVEL) / 2 and (1 + LEVEL) / 2 of RESAMPLES weighted means. Units
    of equal value and weight are interchangeable, so only the number drawn of each kind is random,
    and it is multinomial: a share of a million images needs two numbers per resample. If all values
    are equal, the bounds are that value: without a single hit they do not say how rare hits are.
    """
    value = np.asarray(value_U, dtype=np.float64)
    weight = np.ones_like(value) if weight_U is None else np.asarray(weight_U, dtype=np.float64)
    assert value.ndim == 1 and value.shape == weight.shape and len(value) > 0
    assert bool((weight > 0).all()) and bool(np.isfinite(value).all())
    return _bounds(*np.unique(np.stack([value, weight], axis=1), axis=0, return_counts=True))


def _bounds(kind_V2: np.ndarray, times_V: np.ndarray) -> tuple[float, float]:
    """`interval` of units that are given as (value, weight), in order, and how often each is."""
    units = int(times_V.sum())
    value_V, weight_V = kind_V2.T
    generator = np.random.default_rng(SEED)
    means = []
    at_once = max(1, _DRAWN // len(kind_V2))
    for start in range(0, RESAMPLES, at_once):
        rounds = min(at_once, RESAMPLES - start)
        drawn = generator.multinomial(units, times_V / units, size=rounds) * weight_V
        means.append((drawn * value_V).sum(1) / drawn.sum(1))
    low, high = np.quantile(np.concatenate(means), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def share_interval(hits: int, total: int) -> tuple[float, float]:
    """`interval` of `hits` ones and `total - hits` zeros; nan of nothing."""
    if not total:
        return math.nan, math.nan
    return _bounds(np.array([(0.0, 1.0), (1.0, 1.0)]), np.array([total - hits, hits]))


def shares(hits: Mapping[str, int], total: int, intervals: bool = True) -> dict[str, float]:
    """Each count over `total`, nan of nothing, followed by its `_low` and `_high`."""
    found: dict[str, float] = {}
    for name, hit in hits.items():
        found[name] = hit / total if total else math.nan
        if intervals:
            found[f"{name}_low"], found[f"{name}_high"] = share_interval(hit, total)
    return found
