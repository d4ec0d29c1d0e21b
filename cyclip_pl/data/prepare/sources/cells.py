"""Cells of a table that holds images: what is in them, as an item."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from cyclip_pl.data.prepare.images import read_file
from cyclip_pl.data.prepare.items import BadRow, Item, clean_captions, shown
from cyclip_pl.tar_members import LARGEST_MEMBER

REMOTE = "hf://"


def to_item(
    number: int, image: Any, text: Any, root: Path, labels: Sequence[str] | None
) -> Item | BadRow:
    """A row of an image and captions, or of an image and a label.

    Args:
        number: Of the row.
        image: Bytes of a file, a path, or Hugging Face's {"bytes": …, "path": …}.
        text: A caption or a list of captions; with `labels` a class.
        root: The folder of relative paths.
        labels: The known classes; None where there are captions.
    """
    cell = image if isinstance(image, dict) else {}
    content = image if isinstance(image, bytes) else cell.get("bytes")
    path = image if isinstance(image, str) else cell.get("path")
    name = shown(path) if isinstance(path, str) and path else f"row {number}"
    captions: tuple[str, ...] = ()
    try:
        if labels is None:
            captions = clean_captions(text)
        elif str(text) not in labels:
            raise ValueError("no label" if text is None else f"unknown class: {text}")
    except ValueError as error:
        return BadRow(number, name, str(error))
    if isinstance(content, bytes):
        load = partial(_bounded, content)
    elif isinstance(path, str) and path:
        load = partial(_read, root, path)
    else:
        return BadRow(number, name, "no image")
    return Item(number, name, load, captions, None if labels is None else str(text))


def _bounded(content: bytes) -> bytes:
    if len(content) > LARGEST_MEMBER:
        raise ValueError(f"file over {LARGEST_MEMBER >> 20} MiB")
    return content


def _read(root: Path, path: str) -> bytes:
    """A local file, or one of a data set on the Hub that is read as it comes."""
    if "://" not in path:
        return read_file(root / path)
    if not path.startswith(REMOTE):
        raise ValueError("a URL: download the images first, for example with img2dataset")
    import fsspec

    try:
        with fsspec.open(path, "rb") as file:
            return _bounded(file.read(LARGEST_MEMBER + 1))
    except OSError as error:
        raise ValueError(f"unreadable file: {error}") from error
