"""How often each number occurs, in bounded memory."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from itertools import accumulate

_DIGITS = 4


@dataclass
class Distribution:
    """Whole numbers of at least 0; those above 9,999 are kept to four digits."""

    counts: Counter[int] = field(default_factory=Counter)

    def add(self, value: int) -> None:
        self.counts[_rounded(value)] += 1

    def merge(self, other: Distribution) -> None:
        self.counts.update(other.counts)

    def quantiles(self, *shares: float) -> list[int]:
        """The least value that at least each share of all values does not exceed.

        0 is the least value and 1 the greatest. Empty without values.
        """
        values = sorted(self.counts)
        below = list(accumulate(self.counts[value] for value in values))
        return [values[bisect_left(below, share * below[-1])] for share in shares if values]

    def share_above(self, limit: int) -> float:
        """The share of the values that exceed `limit`; 0 without values."""
        above = sum(count for value, count in self.counts.items() if value > limit)
        return above / max(1, self.counts.total())


def _rounded(value: int) -> int:
    step = 10 ** max(0, len(str(value)) - _DIGITS)
    return round(value / step) * step
