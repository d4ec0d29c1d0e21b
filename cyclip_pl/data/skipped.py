"""Samples that are skipped: why, and how many."""

from __future__ import annotations

import logging
from collections import Counter

logger = logging.getLogger(__name__)


class SkippedSample(Exception):
    """A sample that training leaves out.

    Args:
        reason: What it is counted under in `Batch.skipped`.
        detail: More about this sample, for a message.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(detail)
        self.reason = reason


class SkipCounter:
    """Counts skipped samples by reason; a warning names the first of each reason."""

    def __init__(self) -> None:
        self._new: Counter[str] = Counter()
        self._all: Counter[str] = Counter()

    def add(self, reason: str, where: str, detail: str = "", count: int = 1) -> None:
        """Count `count` samples; `where` is the sample or the shard."""
        if reason not in self._all:
            because = f" ({detail})" if detail else ""
            logger.warning(
                "skipped (%s): %s%s; further ones are counted, not listed", reason, where, because
            )
        self._new[reason] += count
        self._all[reason] += count

    def take(self) -> dict[str, int]:
        """Counts since the last call."""
        counts, self._new = dict(self._new), Counter()
        return counts

    def describe(self) -> str:
        """All counts so far, in words."""
        counts = ", ".join(f"{reason} {count}" for reason, count in self._all.most_common())
        return f"skipped: {counts or 'nothing'}"
