"""What a figure is, by its name: its unit, and whether more of it is better."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

MISSING = "–"


@dataclass(frozen=True)
class Kind:
    """Of a figure.

    Attributes:
        unit: `%` of a fraction, `pp` (percentage points) of a difference of fractions, or none.
        better: 1 if more is better, -1 if less is, 0 if it is neither: counts, settings, spreads,
            and geometry, where a collapsed space has the best of several figures.
    """

    unit: str = ""
    better: int = 0

    def text(self, value: float | None) -> str:
        """In its unit, without the unit."""
        if value is None:
            return MISSING
        if not math.isfinite(value):
            return str(value).replace("-", "−")
        if self.unit:
            shown = f"{100 * value:.1f}"
        elif value.is_integer() and abs(value) < 1e15:
            shown = f"{value:,.0f}"
        else:
            shown = f"{value:.4g}"
        return "0.0" if shown == "-0.0" else shown.replace("-", "−")


_KINDS = {
    re.compile(pattern): kind
    for pattern, kind in {
        r"(.*_)?top\d+|macro_recall|.*_r\d+|(.*_)?k\d+|(.*_)?(accuracy|mean_per_class)": Kind(
            "%", 1
        ),
        r"(mean_)?drop": Kind("%", -1),
        r"(mean_)?effective_robustness": Kind("pp", 1),
        r".*_(accuracy|mean_per_class)_std": Kind("pp"),
        r".*median_rank": Kind("", -1),
    }.items()
}


def kind_of(figure: str) -> Kind:
    """The kind of the figure of this name, a plain number unless known."""
    return next((kind for name, kind in _KINDS.items() if name.fullmatch(figure)), Kind())
