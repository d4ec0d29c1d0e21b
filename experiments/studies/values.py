"""The numbers of rows by cell, metric and seed, and those that belong together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from studies import rows

Values = dict[str, dict[str, dict[int, float]]]
"""By cell, metric and seed."""


def values(found: Sequence[rows.Row]) -> Values:
    """The numbers of rows."""
    numbers: Values = {}
    for one in found:
        for name, text in one.items():
            if text and name not in rows.ABOUT[:-1]:
                by_seed = numbers.setdefault(one["cell"], {}).setdefault(name, {})
                by_seed[int(one["seed"])] = float(text)
    return numbers


def baseline(wanted: Mapping[str, Any], cell: str) -> str | None:
    """The cell that another is compared with."""
    chosen = wanted.get("baseline")
    return chosen.get(cell) if isinstance(chosen, Mapping) else chosen


def paired(found: Values, cell: str, other: str, metric: str) -> list[tuple[float, float]]:
    """A metric of two cells by the seeds that both have."""
    ours, theirs = (found.get(one, {}).get(metric, {}) for one in (cell, other))
    return [(ours[seed], theirs[seed]) for seed in sorted(ours.keys() & theirs.keys())]
