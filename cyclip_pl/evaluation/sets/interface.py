"""What evaluations may ask of a data set."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from PIL.Image import Image
from torch import Tensor


class Unusable(ValueError):
    """A sound set that an evaluation cannot use; the text names the set and what it lacks."""


class NoSplit(Unusable):
    """The set does not have the split that was asked for."""


class NoneUsable(ValueError):
    """An evaluation can use none of the sets that all evaluations look at."""


class ImageSet(Protocol):
    """Images, each of which can be read alone."""

    name: str
    """The first part of its metrics' keys."""

    @property
    def fingerprint(self) -> str:
        """A hash of its whole content: two sets share it only if images, labels and names agree."""

    def __len__(self) -> int: ...

    def key(self, index: int) -> str:
        """The sample's own name."""

    def where(self, index: int) -> str:
        """Where the sample lies, for messages."""

    def image(self, index: int) -> Image:
        """The sample's image, in its own mode; raises `images.Undecodable`."""


class LabelledSet(ImageSet, Protocol):
    """Images and the names of their classes."""

    classnames: list[str]
    """K names; class 0 first. Some may be equal."""
    templates: list[str] | None
    """Its own prompt templates with `{c}`, if it has any."""
    label_N: Tensor
    """int64, (N,), the class of each sample, on the CPU."""
    metric: str
    """The metric that is usual for it: `acc1` or `mean_per_class_recall`."""
    hierarchy: Path | None
    """A file with the superclasses of its classes, see `hierarchies`, or None."""


def content_hash(about: Any, contents: Iterable[bytes]) -> str:
    """A fingerprint of `about`, in plain containers, and of the bytes of a set."""
    digest = hashlib.sha256(json.dumps(about).encode())
    for content in contents:
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()
