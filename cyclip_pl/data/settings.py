"""The settings of `conf/data/*.yaml` that form groups."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cyclip_pl import checks
from cyclip_pl.data.urls import expand


@dataclass(frozen=True)
class Source:
    """Shards that are drawn from together, and their weight if one was given."""

    urls: tuple[str, ...]
    weight: float | None = None


@dataclass(frozen=True)
class TrainSource:
    """Where the training samples are and what an epoch of them is (`data.train`).

    Attributes:
        shards: What WebDataset accepts (a path or URL with a brace list), a path with wildcards,
            a folder (all its `*.tar`, sorted), a list of these, or a list of
            `{shards: ..., weight: ...}`.
        resampled: Whether shards are drawn with replacement; otherwise an epoch is every sample
            once.
        samples_per_epoch: Over all ranks, for `resampled`; None: as many as there are.
    """

    shards: str | Sequence[str | Mapping[str, Any]]
    resampled: bool = False
    samples_per_epoch: int | None = None

    def __post_init__(self) -> None:
        checks.whole("data.train.samples_per_epoch", self.samples_per_epoch, optional=True)
        if self.samples_per_epoch is not None and not self.resampled:
            raise ValueError(
                f"data.train.samples_per_epoch={self.samples_per_epoch}: an exact epoch is every "
                "sample once; set data.train.resampled=true"
            )

    def sources(self, allow_pipe: bool = False) -> list[Source]:
        """The shards' URLs, expanded; shards without weights are one source.

        Args:
            allow_pipe: Whether commands (`pipe:COMMAND`) are permitted.

        Raises:
            ValueError: An entry is malformed, or the weights cannot be used.
        """
        entries = [self.shards] if isinstance(self.shards, str | Mapping) else list(self.shards)
        sources = [_source(entry, allow_pipe, "data.train.shards") for entry in entries]
        if any(source.weight is not None for source in sources):
            if not self.resampled:
                raise ValueError(
                    "data.train.shards: weights have no meaning where an epoch is every sample "
                    "once; set data.train.resampled=true"
                )
            if any(source.weight is None for source in sources):
                raise ValueError(
                    "data.train.shards: some sources have no weight; give one to all or to none"
                )
            return sources
        urls = tuple(url for source in sources for url in source.urls)
        if not urls:
            raise ValueError("data.train.shards is empty")
        if not self.resampled and len(set(urls)) < len(urls):
            twice = Counter(urls).most_common(1)[0][0]
            raise ValueError(f"data.train.shards: {twice!r} is listed twice")
        return [Source(urls)]


@dataclass(frozen=True)
class ValSource:
    """Where the held-out samples are, and when the objective sees them (`data.val`).

    Attributes:
        shards: As `TrainSource.shards`, without weights; None for no validation.
        batch_size: Samples of a batch of all ranks: with another number of negatives the loss is
            another one.
        every_n_steps, every_n_epochs: When, besides the end of the training; None for never.
    """

    shards: str | Sequence[str | Mapping[str, Any]] | None = None
    batch_size: int = 256
    every_n_steps: int | None = None
    every_n_epochs: int | None = 1

    def __post_init__(self) -> None:
        checks.whole("data.val.batch_size", self.batch_size, least=2)
        checks.whole("data.val.every_n_steps", self.every_n_steps, optional=True)
        checks.whole("data.val.every_n_epochs", self.every_n_epochs, optional=True)

    def urls(self, allow_pipe: bool = False) -> tuple[str, ...]:
        """The shards' URLs, sorted; empty without a validation.

        Raises:
            ValueError: An entry is malformed or has a weight, or a shard is listed twice.
        """
        if self.shards is None:
            return ()
        entries = [self.shards] if isinstance(self.shards, str | Mapping) else list(self.shards)
        sources = [_source(entry, allow_pipe, "data.val.shards") for entry in entries]
        if any(source.weight is not None for source in sources):
            raise ValueError(
                "data.val.shards: weights have no meaning where every sample counts once; leave"
                " them out"
            )
        urls = sorted(url for source in sources for url in source.urls)
        if not urls:
            raise ValueError("data.val.shards is empty")
        if len(set(urls)) < len(urls):
            twice = Counter(urls).most_common(1)[0][0]
            raise ValueError(f"data.val.shards: {twice!r} is listed twice")
        return tuple(urls)


def _source(entry: Any, allow_pipe: bool, setting: str) -> Source:
    if isinstance(entry, str | os.PathLike):
        return Source(tuple(expand(os.fspath(entry), allow_pipe, setting)))
    if not isinstance(entry, Mapping) or not {"shards"} <= set(entry) <= {"shards", "weight"}:
        raise ValueError(
            f"{setting}: {entry!r} is not a path, a URL, a list of them, or a list of "
            "{shards: ..., weight: ...}"
        )
    weight = entry.get("weight")
    if weight is not None:
        checks.number(f"{setting}: weight", weight, above=0, most=1e9)
        weight = float(weight)
    nested = entry["shards"]
    parts = [nested] if isinstance(nested, str) else list(nested)
    if not all(isinstance(part, str) for part in parts):
        raise ValueError(f"{setting}: {entry!r} holds more than paths and URLs")
    return Source(tuple(url for part in parts for url in expand(part, allow_pipe, setting)), weight)


@dataclass(frozen=True)
class Shuffle:
    """How an epoch is mixed (`data.shuffle`).

    Attributes:
        shards: Whether the order of the shards is new in each epoch.
        buffer: Undecoded samples that each reader holds and draws from; 1 keeps the order.
    """

    shards: bool = True
    buffer: int = 5000

    def __post_init__(self) -> None:
        checks.whole("data.shuffle.buffer", self.buffer)


def check_text(
    text: str,
    length_bucket: int | None,
    caption_key: str | None,
    caption_keys: Mapping[str, float] | None,
) -> None:
    """Raise ValueError, one line, for settings of captions that do not go together."""
    checks.one_of("data.text", text, ["fixed", "variable"])
    checks.whole("data.length_bucket", length_bucket, optional=True)
    if length_bucket is not None and text == "fixed":
        raise ValueError(
            f"data.length_bucket={length_bucket}: with data.text=fixed all texts have one length;"
            " set data.text=variable"
        )
    if caption_key is not None and caption_keys is not None:
        raise ValueError(
            f"data.caption_keys={caption_keys}: data.caption_key={caption_key} is set as well;"
            " set data.caption_key=null"
        )
