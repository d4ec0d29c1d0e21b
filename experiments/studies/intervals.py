"""Means over seeds and paired differences, with 95 % intervals by Student's t."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from scipy.stats import t as student

LEVEL, POWER = 0.95, 0.8


@dataclass(frozen=True)
class Mean:
    """The mean of n values.

    Attributes:
        value: The mean.
        half: Half of the width of its interval; nan of one value.
        n: How many values.
    """

    value: float
    half: float
    n: int

    @property
    def apart(self) -> bool:
        """Whether the interval leaves out 0."""
        return abs(self.value) > self.half


def of(values: Sequence[float]) -> Mean:
    """The mean and its interval, (1 + LEVEL) / 2 quantile of t with n - 1 degrees · s / √n."""
    return Mean(mean(values), _quantile(len(values), LEVEL) * _error(values), len(values))


def of_pairs(values: Sequence[float], others: Sequence[float]) -> Mean:
    """The mean of `values` minus `others`, which belong together one by one (equal seeds)."""
    return of([a - b for a, b in zip(values, others, strict=True)])


def visible(differences: Sequence[float]) -> float:
    """The true difference whose interval would leave out 0 in 80 % of such studies.

    By the usual approximation (t of the level + t of the power) · s / √n.
    """
    n = len(differences)
    power = float(student.ppf(POWER, n - 1)) if n > 1 else math.nan
    return (_quantile(n, LEVEL) + power) * _error(differences)


def _quantile(n: int, level: float) -> float:
    return float(student.ppf((1 + level) / 2, n - 1)) if n > 1 else math.nan


def _error(values: Sequence[float]) -> float:
    return stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
