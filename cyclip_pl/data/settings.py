"""The settings of `conf/data/*.yaml` that come in groups."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cyclip_pl.data.urls import expand


@dataclass(frozen=True)
class Source:
    """Shards that are drawn from together, and their share of the samples if one was given."""

    urls: tuple[str, ...]
    weight: float | None = None


@dataclass(frozen=True)
class TrainSource:
    """Where the training samples are and what an epoch of them is (`data.train`).

    Attributes:
        shards: what WebDataset accepts (a path or URL with a brace list), a folder (all its
            `*.tar`, sorted), a list of these, or a list of `{shards: ..., weight: ...}`.
        resampled: draw shards with replacement, instead of every sample once an epoch.
        samples_per_epoch: over all ranks, for `resampled`; None: as many as there are.
    """

    shards: str | Sequence[str | Mapping[str, Any]]
    resampled: bool = False
    samples_per_epoch: int | None = None

    def __post_init__(self) -> None:
        if self.samples_per_epoch is not None:
            if not self.resampled:
                raise ValueError(
                    "data.train.samples_per_epoch needs data.train.resampled=true: "
                    "an exact epoch is every sample once"
                )
            if self.samples_per_epoch < 1:
                raise ValueError(
                    f"data.train.samples_per_epoch must be 1 or more, not {self.samples_per_epoch}"
                )

    def sources(self) -> list[Source]:
        """The shards' URLs, expanded; those without a weight of their own are one source.

        Raises:
            ValueError: malformed entries, or weights that cannot be respected.
        """
        entries = [self.shards] if isinstance(self.shards, str | Mapping) else list(self.shards)
        sources = [_source(entry) for entry in entries]
        weighted = [source for source in sources if source.weight is not None]
        if weighted and not self.resampled:
            raise ValueError(
                "data.train.shards: weights need data.train.resampled=true: "
                "an exact epoch is every sample once"
            )
        if weighted and len(weighted) < len(sources):
            raise ValueError("data.train.shards: give every source a weight, or none")
        if weighted:
            return sources
        urls = tuple(url for source in sources for url in source.urls)
        if not urls:
            raise ValueError("data.train.shards is empty")
        if not self.resampled and len(set(urls)) < len(urls):
            twice = Counter(urls).most_common(1)[0][0]
            raise ValueError(f"data.train.shards: {twice!r} is listed twice")
        return [Source(urls)]


def _source(entry: Any) -> Source:
    if isinstance(entry, str | os.PathLike):
        return Source(tuple(expand(os.fspath(entry))))
    if not isinstance(entry, Mapping) or not {"shards"} <= set(entry) <= {"shards", "weight"}:
        raise ValueError(
            "data.train.shards: expected a path or URL, a list of them, or a list of "
            f"{{shards: ..., weight: ...}}, not {entry!r}"
        )
    weight = entry.get("weight")
    if weight is not None:
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < 1e9:
            raise ValueError(f"data.train.shards: a weight is a positive number, not {weight!r}")
        weight = float(weight)
    nested = entry["shards"]
    parts = [nested] if isinstance(nested, str) else list(nested)
    if not all(isinstance(part, str) for part in parts):
        raise ValueError(f"data.train.shards: expected paths or URLs in {entry!r}")
    return Source(tuple(url for part in parts for url in expand(part)), weight)


@dataclass(frozen=True)
class Shuffle:
    """How an epoch is mixed (`data.shuffle`).

    Attributes:
        shards: a new order of the shards each epoch.
        buffer: samples (undecoded) that each reader holds to draw from; 1 keeps the order.
    """

    shards: bool = True
    buffer: int = 5000

    def __post_init__(self) -> None:
        if self.buffer < 1:
            raise ValueError(f"data.shuffle.buffer must be 1 or more, not {self.buffer}")
