"""Samples that are skipped: why, how many, and in which shards."""

from __future__ import annotations

import logging
from collections import Counter

logger = logging.getLogger(__name__)

# Shards that a cause names; hundreds may be broken.
_NAMED = 20
_KEPT = 3


def of_unknown_size(cause: str) -> str:
    """The cause that counts one where a shard breaks and nobody knows how many samples it had."""
    return f"{cause} of unknown size"


class SkippedSample(Exception):
    """A sample that training leaves out.

    Args:
        reason: What it is counted under in `Batch.skipped`.
        detail: More about this sample, for a message.
        count: Images that are lost with it.
    """

    def __init__(self, reason: str, detail: str = "", count: int = 1) -> None:
        super().__init__(detail)
        self.reason = reason
        self.count = count


class SkipCounter:
    """Counts skipped samples by cause.

    A warning names the first sample of each cause, and each shard that breaks, up to 20 per cause.

    Args:
        quiet: Whether nothing is told: these samples were counted before.
    """

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._new: Counter[str] = Counter()
        self._all: Counter[str] = Counter()
        self._shards: dict[str, dict[str, None]] = {}
        self._named: dict[str, set[str]] = {}

    def add(
        self, cause: str, url: str, detail: str = "", count: int = 1, sample: str | None = None
    ) -> None:
        """Count `count` samples of a shard; `sample` is the key, if it is about one of them."""
        self._warn(cause, url, detail, count, sample)
        self._new[cause] += count
        self._all[cause] += count
        shards = self._shards.setdefault(cause, {})
        if len(shards) < _KEPT:
            shards[url] = None

    def _warn(self, cause: str, url: str, detail: str, count: int, sample: str | None) -> None:
        named = self._named.setdefault(cause, set())
        if self._quiet or url in named or len(named) >= (_NAMED if sample is None else 1):
            return
        named.add(url)
        if sample is not None:
            because = f" ({detail})" if detail else ""
            logger.warning(
                "skipped (%s): %s, sample %s%s; further ones are counted, not listed",
                *(cause, url, sample, because),
            )
            return
        number = f"{count} sample{'s' * (count != 1)}"
        number = "an unknown number of samples" if cause.endswith(of_unknown_size("")) else number
        more = "; further shards are counted, not listed" if len(named) == _NAMED else ""
        logger.warning("skipped (%s): %s in %s: %s%s", cause, number, url, detail, more)

    def take(self) -> dict[str, int]:
        """Counts since the last call."""
        counts, self._new = dict(self._new), Counter()
        return counts

    def take_shards(self) -> dict[str, list[str]]:
        """Up to three shards of each cause since the last call."""
        shards, self._shards = {cause: list(s) for cause, s in self._shards.items()}, {}
        return shards

    def describe(self) -> str:
        """All counts so far, in words."""
        return f"skipped: {in_words(self._all) or 'nothing'}"


def in_words(counts: Counter[str]) -> str:
    """Causes with their counts, the largest first."""
    return ", ".join(f"{cause} {count:,}" for cause, count in counts.most_common())
