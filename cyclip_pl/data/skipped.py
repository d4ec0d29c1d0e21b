"""Samples that are skipped: why, and how many."""

from __future__ import annotations

import logging
from collections import Counter

log = logging.getLogger(__name__)


class Unusable(Exception):
    """A sample to leave out.

    Attributes:
        reason: what it is counted under in `Batch.skipped`.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(detail)
        self.reason = reason


class Tally:
    """Samples left out, by reason; the first of each reason is named in a warning."""

    def __init__(self) -> None:
        self._new: Counter[str] = Counter()
        self._all: Counter[str] = Counter()

    def add(self, reason: str, where: str, detail: str = "", count: int = 1) -> None:
        """
        Args:
            where: the sample or the shard.
        """
        if reason not in self._all:
            because = f" ({detail})" if detail else ""
            log.warning("left out, %s: %s%s; any more are only counted", reason, where, because)
        self._new[reason] += count
        self._all[reason] += count

    def take(self) -> dict[str, int]:
        """Counts since the last call."""
        counts, self._new = dict(self._new), Counter()
        return counts

    def describe(self) -> str:
        """All counts so far, in words."""
        counts = ", ".join(f"{reason} {count}" for reason, count in self._all.most_common())
        return f"left out: {counts}" if counts else "nothing was left out"


def first_line(error: Exception) -> str:
    """What an error says, or what it is called."""
    return (str(error) or type(error).__name__).splitlines()[0]
