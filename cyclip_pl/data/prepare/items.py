"""What every source gives: images with captions or a label, and the rows that have neither."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol


class BadRow(NamedTuple):
    """A row without a usable image or text, and why; `number` counts the source's `unit`."""

    number: int
    image: str
    reason: str


class Item(NamedTuple):
    """One image, not read yet, and what belongs to it.

    Attributes:
        number: Its place in the source; the key of its sample.
        image: What messages and the sample's `json` call it.
        load: Gives the bytes of the image file; ValueError, one line without its name.
        captions: Each once, none empty; they may be missing where there is a label.
        label: Its class as the source writes it.
        split: `train`, `val` or `test`, if the source says so.
        rows: Numbers of its rows in the source.
    """

    number: int
    image: str
    load: Callable[[], bytes]
    captions: tuple[str, ...] = ()
    label: str | None = None
    split: str | None = None
    rows: tuple[int, ...] = ()


class Source(Protocol):
    """Where images come from; the same source gives the same entries in the same order.

    Attributes:
        name: Its command.
        unit: What the numbers of bad rows count: `line`, `row` or `sample`.
        settings: What its entries depend on.
        total: How many images there are, as far as it is known.
        labels: All classes, as `Item.label` writes them, in the order of their numbers.
        classnames: Their names, as far as the source knows better than `labels`.
        note: A line for the user about how the source was read, or nothing.
    """

    name: str
    unit: str
    settings: dict[str, Any]
    total: int | None
    labels: list[str]
    classnames: list[str]
    note: str

    def entries(self, start: int = 0) -> Iterator[Item | BadRow]:
        """The entries in the order of the shards, from the `start`-th on."""


def clean_captions(texts: Any) -> tuple[str, ...]:
    """The captions among a text, a list of texts or nothing: stripped, each once.

    Raises:
        ValueError: None is left, or one is not a text or not UTF-8; one line.
    """
    listed = list(texts) if isinstance(texts, list | tuple) else [] if texts is None else [texts]
    if not all(isinstance(text, str) for text in listed):
        raise ValueError("caption is not a text")
    captions = tuple(dict.fromkeys(text.strip() for text in listed if text.strip()))
    if not captions:
        raise ValueError("empty caption")
    if any(shown(caption) != caption for caption in captions):
        raise ValueError("caption is not UTF-8")
    return captions


def shown(text: str) -> str:
    """`text`; bytes that are not UTF-8 become question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")
