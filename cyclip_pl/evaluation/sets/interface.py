"""What an evaluation may ask of a set of labelled images, whatever it is kept in."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from PIL import Image
from torch import Tensor

from cyclip_pl.evaluation.image_shards import Undecodable as Undecodable


class LabelledImages(Protocol):
    """N images, each of one of K classes; any image can be read alone."""

    name: str
    """What figures call it."""
    folder: Path
    """Where it is kept, for messages."""
    classnames: list[str]
    """K names; class 0 first. Some may be equal."""
    templates: list[str] | None
    """Its own prompts with `{c}` for the class, or None where it has none."""
    label_N: Tensor
    """int64, the class of each image, on the CPU."""

    @property
    def fingerprint(self) -> str:
        """A hash of its content: other labels, names or pictures have another."""
        ...

    def __len__(self) -> int: ...

    def image(self, index: int) -> Image.Image:
        """An image, RGB; raises `Undecodable` where its bytes are none."""
        ...

    def key(self, index: int) -> str:
        """What the set itself calls an image."""
        ...

    def where(self, index: int) -> str:
        """Where an image lies, for messages."""
        ...
