"""Rows that name image files: grouped by file, and read in a shuffled order."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

from cyclip_pl.data.prepare.class_names import class_names, sorted_labels
from cyclip_pl.data.prepare.images import read_file
from cyclip_pl.data.prepare.items import BadRow, Item, shown
from cyclip_pl.data.prepare.report import summary
from cyclip_pl.data.prepare.shards import order


class Row(NamedTuple):
    """A row that names an image; `number` says where it begins.

    `texts` are its captions, each once and none empty, or its label alone.
    """

    number: int
    image: str
    texts: tuple[str, ...]


class Indexed:
    """A `Source` of rows; those of one file are one image with several captions.

    All rows are held in memory, and no image: about half a GB for a million rows.

    Args:
        name, unit, settings, note: See `Source`.
        rows: In order.
        root: The folder of relative paths.
        seed: Of the order.
        labelled: Whether the texts are labels.
        classnames: The option of this name.
        folders: See `class_names`.

    Raises:
        ValueError: There is no good row, or the classes have no names.
    """

    def __init__(
        self,
        name: str,
        unit: str,
        settings: dict[str, Any],
        rows: Iterable[Row | BadRow],
        root: Path,
        seed: int,
        labelled: bool = False,
        classnames: Path | None = None,
        folders: bool = False,
        note: str = "",
    ) -> None:
        self.name, self.unit, self.note = name, unit, note
        self._root, self._labelled = root, labelled
        self._bad: list[BadRow] = []
        by_path: dict[str, list[Row]] = {}
        for row in rows:
            if isinstance(row, BadRow):
                self._bad.append(row)
            else:
                by_path.setdefault(os.path.normpath(row.image), []).append(row)
        if not by_path:
            raise ValueError(f"no usable row; {summary(self._bad, unit)}")
        self._images = list(by_path.values())
        self.total: int | None = len(self._images)
        self.labels: list[str] = []
        self.classnames: list[str] = []
        if labelled:
            self.labels = sorted_labels({row.texts[0] for of in self._images for row in of})
            self.classnames = class_names(self.labels, classnames, folders)
        keys = (f"{number:09d}" for number in range(len(self._images)))
        self._order = [int(key) for key in order(keys, f"{seed}/{name}")]
        self.settings = {**settings, "seed": seed, "classnames": self.classnames}

    def entries(self, start: int = 0) -> Iterator[Item | BadRow]:
        """The bad rows, then the images in the order of the shards."""
        return islice(chain(self._bad, self._shuffled()), start, None)

    def _shuffled(self) -> Iterator[Item | BadRow]:
        for number in self._order:
            rows = self._images[number]
            first = rows[0].image
            texts = tuple(dict.fromkeys(text for row in rows for text in row.texts))
            numbers = tuple(row.number for row in rows)
            if self._labelled and len(texts) > 1:
                named = ", ".join(texts[:3])
                for one in numbers:
                    yield BadRow(one, first, f"several classes: {named}")
                continue
            captions, label = ((), texts[0]) if self._labelled else (texts, None)
            load = partial(_load, self._root, first)
            yield Item(number, shown(first), load, captions, label, rows=numbers)


def _load(root: Path, image: str) -> bytes:
    try:
        return read_file(root / image)
    except ValueError:
        if "://" in image:
            raise ValueError(
                "a URL: download the images first, for example with img2dataset"
            ) from None
        raise
