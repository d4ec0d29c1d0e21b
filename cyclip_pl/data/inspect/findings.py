"""What was found in shards; the findings of several shards add up."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from cyclip_pl.data.inspect.distribution import Distribution
from cyclip_pl.data.inspect.repeats import Repeats

# Lost samples that are told one by one; millions may be lost.
MOST_TOLD = 1000
DISTRIBUTIONS = (
    "shard_bytes",
    "shard_samples",
    "width",
    "height",
    "image_bytes",
    "words",
    "tokens",
)
REPEATED = "keys", "captions", "images"


class Lost(NamedTuple):
    """Something that training would leave out.

    Attributes:
        key: The sample's, or empty if it is about the shard.
        number: How many samples are lost.
    """

    shard: str
    key: str
    cause: str
    detail: str = ""
    number: int = 1


class Shown(NamedTuple):
    """A sample for the contact sheet, chosen by the smallest `ticket`s; the image is a PNG."""

    ticket: bytes
    name: str
    caption: str
    image: bytes


@dataclass
class Findings:
    """Counts.

    Attributes:
        samples: Those that can be used.
        lost: Samples that cannot, by the cause under which training counts them.
        told: Some of the lost ones.
        formats: Images by format.
        captions: Number of captions.
        labels: Samples by class.
        distributions: By the names in `DISTRIBUTIONS`.
        hashes: By the names in `REPEATED`: of each value, to find those that are there twice.
        shown: Samples for the contact sheet.
    """

    samples: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    told: list[Lost] = field(default_factory=list)
    formats: Counter[str] = field(default_factory=Counter)
    captions: int = 0
    labels: Counter[int] = field(default_factory=Counter)
    distributions: dict[str, Distribution] = field(
        default_factory=lambda: {name: Distribution() for name in DISTRIBUTIONS}
    )
    hashes: dict[str, np.ndarray] = field(default_factory=dict)
    shown: list[Shown] = field(default_factory=list)

    def lose(self, lost: Lost) -> None:
        self.lost[lost.cause] += lost.number
        if len(self.told) < MOST_TOLD:
            self.told.append(lost)


class Total(Findings):
    """The sum of the findings in all shards, in any order of them.

    Args:
        shown: Samples of the contact sheet.
    """

    def __init__(self, shown: int = 0) -> None:
        super().__init__()
        self.repeats = {name: Repeats() for name in REPEATED}
        self._most_shown = shown
        self._told: list[tuple[int, Lost]] = []

    def add(self, shard: int, found: Findings) -> None:
        """Add what was found in the shard of this number."""
        self.samples += found.samples
        self.captions += found.captions
        for mine, theirs in (
            (self.lost, found.lost),
            (self.formats, found.formats),
            (self.labels, found.labels),
        ):
            mine.update(theirs)  # type: ignore[arg-type]
        for name, distribution in found.distributions.items():
            self.distributions[name].merge(distribution)
        for name, hashes in found.hashes.items():
            self.repeats[name].add(hashes)
        self._told += [(shard, lost) for lost in found.told]
        self._told = sorted(self._told, key=lambda item: item[0])[:MOST_TOLD]
        self.told = [lost for _, lost in self._told]
        self.shown = sorted(self.shown + found.shown)[: self._most_shown]
