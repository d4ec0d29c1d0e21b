"""What evaluations may ask of a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from PIL.Image import Image
from torch import Tensor


class ImageSet(Protocol):
    """Images, each of which can be read alone."""

    name: str
    """What figures call it."""

    @property
    def fingerprint(self) -> str:
        """A hash of all its content: equal only where images, labels and names are."""
        ...

    def __len__(self) -> int: ...

    def key(self, index: int) -> str:
        """A sample's own name."""
        ...

    def where(self, index: int) -> str:
        """Where a sample lies, for messages."""
        ...

    def image(self, index: int) -> Image:
        """The sample's image as `images.open_image` gives it; raises `images.Undecodable`."""
        ...


class LabelledSet(ImageSet, Protocol):
    """Images and the names of their classes."""

    classnames: list[str]
    """K names; class 0 first. Some may be equal."""
    templates: list[str] | None
    """Its own prompts with `{c}`, if it has any."""
    label_N: Tensor
    """int64, (N,), the class of each sample, on the CPU."""
    metric: str
    """What is reported of it: `accuracy`, or `mean_per_class`."""
    hierarchy: Path | None
    """A file of its classes' superclasses, see `hierarchies`, if it brings one."""
