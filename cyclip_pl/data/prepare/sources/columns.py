"""The columns of a table that a preparation reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cyclip_pl.checks import did_you_mean
from cyclip_pl.data.prepare.items import shown


@dataclass(frozen=True)
class Columns:
    """Names of columns; with `label` the images have classes, else captions.

    Attributes:
        image: Paths, or images.
        caption: A caption, or a list of them.
        label: The class of the image.
    """

    image: str = "image"
    caption: str = "caption"
    label: str | None = None

    @property
    def labelled(self) -> bool:
        """Whether the images have classes."""
        return self.label is not None

    @property
    def text(self) -> str:
        """The column beside the image's."""
        return self.caption if self.label is None else self.label

    @property
    def settings(self) -> dict[str, Any]:
        """What the output depends on."""
        return {"image_key": self.image, "text_key": self.text, "labelled": self.labelled}

    @property
    def by_option(self) -> dict[str, str]:
        """The columns by the options that name them."""
        text = "--caption-key" if self.label is None else "--label-key"
        return {"--image-key": self.image, text: self.text}

    def check(self, there: Sequence[str], where: object) -> None:
        """Refuse a table without one of the columns, or with two of one name; one line."""
        for option, key in self.by_option.items():
            if (count := list(there).count(key)) > 1:
                raise ValueError(f"{option} {key!r}: {where} has {count} such columns")
            if count == 0:
                names = ", ".join(repr(shown(column)) for column in there) or "none"
                hint = did_you_mean(key, there)
                raise ValueError(
                    f"{option} {key!r}: no such column in {where}; columns: {names}{hint}"
                )
