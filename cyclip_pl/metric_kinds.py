"""What a metric is, by its name: its unit, how to print it, and whether more of it is better."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

BOUNDS = ("_low", "_high")
"""Endings of the names of an interval's ends: `acc1`, `acc1_low`, `acc1_high`."""

COUNTS = ("samples", "train_samples", "captions", "classes", "superclasses", "skipped")
"""Whole numbers that say what was measured, in the order to show them in."""

MISSING = "–"
"""Shown where a run does not have a metric."""


@dataclass(frozen=True)
class Kind:
    """One kind of metric.

    Attributes:
        unit: `%` of a fraction, `pp` (percentage points) of a difference of fractions, or none.
        better: 1 if more is better, -1 if less is, 0 if neither: counts, settings, spreads, and
            geometry, because several of its metrics are best in a collapsed space.
    """

    unit: str = ""
    better: int = 0

    def text(self, value: float | None) -> str:
        """The value in the kind's unit, without the unit."""
        if value is None:
            return MISSING
        if not math.isfinite(value):
            shown = str(value)
        elif self.unit:
            shown = f"{100 * value:.1f}"
        elif float(value).is_integer() and abs(value) < 1e15:
            shown = f"{value:,.0f}"
        else:
            shown = f"{value:.4g}"
        return "0.0" if shown == "-0.0" else shown.replace("-", "−")


_ACCURACY = r"(acc\d+|mean_per_class_recall)"
_KINDS = {
    rf"(.*_)?({_ACCURACY}|[rk]\d+)": Kind("%", 1),
    r"(mean_)?drop": Kind("%", -1),
    r"(mean_)?effective_robustness": Kind("pp", 1),
    rf".*_{_ACCURACY}_std": Kind("pp"),
    r"(.*_)?median_rank": Kind("", -1),
}


def kind_of(metric: str) -> Kind:
    """The kind of the metric of this name; a name that is not known is a plain number."""
    return next((kind for name, kind in _KINDS.items() if re.fullmatch(name, metric)), Kind())


def label(metric: str) -> str:
    """The name with its unit: `acc1 (%)`."""
    unit = kind_of(metric).unit
    return f"{metric} ({unit})" if unit else metric


def without_bounds(metrics: Iterable[str]) -> list[str]:
    """The names without those of an interval's ends; `x_low` stays if `x` is missing."""
    names = list(metrics)
    ends = {name + bound for name in names for bound in BOUNDS}
    return [name for name in names if name not in ends]
