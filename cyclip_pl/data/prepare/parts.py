"""What is made of an image: a training sample, or a sample of an evaluation set."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cyclip_pl.data.prepare.folder import write_json
from cyclip_pl.data.prepare.items import Item, Source
from cyclip_pl.data.prepare.shards import (
    json_bytes,
    write_classification_files,
    write_lines,
    write_retrieval_files,
)
from cyclip_pl.data.prepare.writer import Sample
from cyclip_pl.layout import NSHARDS

Members = Callable[[Item], Sample]
"""The members of a sample beside its image."""


@dataclass(frozen=True)
class Part:
    """A folder of shards inside the output.

    Attributes:
        folder: Its path there.
        members: What a sample has beside the image.
        shard_size: Samples per shard.
        evaluation: Whether it is a split of an evaluation set, in clip_benchmark's layout.
        unique: Whether an image that it has already is left out.
    """

    folder: str
    members: Members
    shard_size: int
    evaluation: bool = False
    unique: bool = False

    @property
    def name(self) -> str:
        """The format of its shards' names."""
        return "{}.tar" if self.evaluation else "{:05d}.tar"

    def finish(self, output: Path, sizes: Mapping[str, int]) -> None:
        """Write what readers ask for beside the shards."""
        folder = output / self.folder
        if self.evaluation:
            write_lines(folder / NSHARDS, [str(len(sizes))])
        else:
            write_json(folder / "sizes.json", dict(sizes))


class Classes:
    """Names and numbers of the classes of a source."""

    def __init__(self, labels: Sequence[str], names: Sequence[str]) -> None:
        assert len(labels) == len(names)
        self.names = list(names)
        self._number = {label: number for number, label in enumerate(labels)}

    def number(self, item: Item) -> int:
        """The number of an item's class."""
        assert item.label is not None
        return self._number[item.label]

    def name(self, item: Item) -> str:
        """The name of an item's class."""
        return self.names[self.number(item)]


def training(classes: Classes | None, templates: Sequence[str]) -> Members:
    """One caption in `txt` and all of them in `json`; a label becomes one per template."""

    def members(item: Item) -> Sample:
        captions = captions_of(item, classes, templates)
        about: dict[str, Any] = {"captions": captions, "image": item.image}
        if classes is not None and item.label is not None:
            about["class"] = classes.name(item)
        return {"txt": captions[0].encode(), "json": json_bytes(about)}

    return members


def captions_of(item: Item, classes: Classes | None, templates: Sequence[str]) -> list[str]:
    """An item's captions, or those that the templates make of its class."""
    if item.captions or classes is None:
        return list(item.captions)
    return [template.replace("{c}", classes.name(item)) for template in templates]


def captioned(item: Item) -> Sample:
    """One caption per line."""
    return {"txt": "\n".join(" ".join(text.split()) for text in item.captions).encode()}


def labelled(classes: Classes) -> Members:
    """The number of the class."""
    return lambda item: {"cls": str(classes.number(item)).encode()}


def share(digest: bytes, salt: str) -> float:
    """A number in [0, 1) that depends on an image's bytes alone, so that copies stay together."""
    drawn = hashlib.sha256(salt.encode() + b"/" + digest).digest()
    return int.from_bytes(drawn[:8], "big") / 2**64


class Parts:
    """All parts of a preparation, and which of them an image goes into.

    Args:
        parts: All of them.
        choose: The parts of an image, by its item and the digest of its bytes.
        finish: Writes the files of the evaluation sets.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        choose: Callable[[Item, bytes], Sequence[Part]],
        finish: Callable[[Path], None] = lambda output: None,
    ) -> None:
        self.all, self.choose, self.finish = list(parts), choose, finish


def classification_finish(
    folder: str, classes: Classes, templates: Sequence[str]
) -> Callable[[Path], None]:
    """Writes class names and prompts."""
    return lambda output: write_classification_files(output / folder, classes.names, templates)


def retrieval_finish(folder: str) -> Callable[[Path], None]:
    """Writes what says that a set has captions."""
    return lambda output: write_retrieval_files(output / folder)


def known_total(source: Source, setting: str) -> int:
    """The number of images; ValueError if nobody knows it before they are read."""
    if source.total is None:
        raise ValueError(f"{setting}: the number of images is not known; give a share such as 0.05")
    return source.total
