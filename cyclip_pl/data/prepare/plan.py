"""What a preparation makes: training shards, a set with classes, a set with captions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cyclip_pl import checks
from cyclip_pl.data.prepare.items import Item, Source
from cyclip_pl.data.prepare.parts import (
    Classes,
    Part,
    Parts,
    captioned,
    classification_finish,
    known_total,
    labelled,
    retrieval_finish,
    share,
    training,
)

KINDS = ("training", "classification", "captions")
TEMPLATES = ("a photo of a {c}", "{c}")
LARGEST_SHARD = 10_000
FEWEST_SHARDS = 16
"""A small source makes this many training shards, so that several readers can share them."""
UNKNOWN_SHARD = 1_000
"""Samples per training shard where nobody knows how many there will be."""
EVALUATION_SHARD = 5_000


@dataclass(frozen=True)
class Plan:
    """The options that say what is made.

    Attributes:
        make: `training` shards, or an evaluation set: `classification` or `captions`.
        shard_size: Samples per training shard; None: at most 10,000, fewer if that makes 16 shards.
        holdout: With `training`: how many images go into an evaluation set instead; below 1 a
            share, else about that number. 0 for none.
        train_share: With `classification`: the share of the images that becomes its split `train`.
        templates: Prompts with {c} for the class, of sets with classes; captions of their images.
        seed: Of what is held out.
    """

    make: str = "training"
    shard_size: int | None = None
    holdout: float = 0
    train_share: float = 0
    templates: Sequence[str] = TEMPLATES
    seed: int = 0

    def __post_init__(self) -> None:
        checks.one_of("--make", self.make, KINDS)
        if self.shard_size is not None:
            checks.whole("--shard-size", self.shard_size)
        checks.number("--holdout", self.holdout, least=0)
        checks.number("--train-split", self.train_share, least=0, most=0.99)
        if self.holdout and self.make != "training":
            raise ValueError(f"--holdout {self.holdout:g}: only --make training holds images out")
        if self.train_share and self.make != "classification":
            raise ValueError(
                f"--train-split {self.train_share:g}: only --make classification has such a split"
            )
        for template in self.templates:
            if "{c}" not in template or len(template.splitlines()) != 1:
                raise ValueError(
                    f"--templates {template!r}: must be one line with {{c}} for the class"
                )

    @property
    def settings(self) -> dict[str, Any]:
        """What the output depends on."""
        return {
            "make": self.make,
            "shard_size": self.shard_size,
            "holdout": self.holdout,
            "train_split": self.train_share,
            "templates": list(self.templates),
        }

    def parts(self, source: Source) -> Parts:
        """The folders of shards, and which of them an image goes into.

        Raises:
            ValueError: The source does not have what they need; one line.
        """
        classes = Classes(source.labels, source.classnames) if source.labels else None
        if self.make == "captions":
            if classes is not None:
                raise ValueError("--make captions: the images have classes and no captions")
            test = _captions("test")
            return Parts([test], lambda item, digest: [test], retrieval_finish("."))
        if self.make == "classification":
            if classes is None:
                raise ValueError("--make classification: the images have captions and no classes")
            return self._classification(classes)
        return self._training(source, classes)

    def _classification(self, classes: Classes) -> Parts:
        splits = {name: _classified(name, classes) for name in ("test", "train", "val")}

        def choose(item: Item, digest: bytes) -> list[Part]:
            drawn = "train" if share(digest, f"{self.seed}/train") < self.train_share else "test"
            return [splits[item.split or drawn]]

        finish = classification_finish(".", classes, self.templates)
        return Parts(list(splits.values()), choose, finish)

    def _training(self, source: Source, classes: Classes | None) -> Parts:
        members = training(classes, self.templates)
        size = self.shard_size or _shard_size(source.total, self._held_out(source))
        if not self.holdout:
            whole = Part(".", members, size)
            return Parts([whole], lambda item, digest: [whole])
        train = Part("train", members, size)
        least = self._held_out(source)

        def held_out(digest: bytes) -> bool:
            return share(digest, f"{self.seed}/holdout") < least

        if classes is None:
            test = _captions("captions/test")
            return Parts(
                [train, test],
                lambda item, digest: [test if held_out(digest) else train],
                retrieval_finish("captions"),
            )
        # Neighbours and probes need the training images with their labels.
        test, beside = (_classified(f"classes/{name}", classes) for name in ("test", "train"))
        return Parts(
            [train, test, beside],
            lambda item, digest: [test] if held_out(digest) else [train, beside],
            classification_finish("classes", classes, self.templates),
        )

    def _held_out(self, source: Source) -> float:
        """The share of the images that is held out."""
        if self.holdout < 1:
            return self.holdout
        total = known_total(source, f"--holdout {self.holdout:g}")
        if self.holdout >= total:
            raise ValueError(f"--holdout {self.holdout:g}: there are only {total} images")
        return self.holdout / total


def _shard_size(total: int | None, held_out: float) -> int:
    if total is None:
        return UNKNOWN_SHARD
    # How many are held out is a matter of chance.
    shards = FEWEST_SHARDS if not held_out else FEWEST_SHARDS * 5 // 4
    return max(1, min(LARGEST_SHARD, int(total * (1 - held_out)) // shards))


def _captions(folder: str) -> Part:
    return Part(folder, captioned, EVALUATION_SHARD, evaluation=True, unique=True)


def _classified(folder: str, classes: Classes) -> Part:
    return Part(folder, labelled(classes), EVALUATION_SHARD, evaluation=True)
