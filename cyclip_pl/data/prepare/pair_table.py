"""A CSV or TSV of image paths and captions, read row by row; bad rows come as `BadRow`."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

DELIMITERS = {"comma": ",", "tab": "\t", "semicolon": ";", "pipe": "|"}

# Characters. Some captions are longer than the csv module's own limit of 131,072.
LONGEST_FIELD = 1 << 24


@dataclass(frozen=True)
class Row:
    """One caption of one image; `line` is where the row begins; the header is line 1."""

    line: int
    image: str
    caption: str


class BadRow(NamedTuple):
    """A row without a usable image or caption, and why."""

    line: int
    image: str
    reason: str


def find_delimiter(path: Path, delimiter: str, keys: tuple[str, str]) -> str:
    """The character for `delimiter`: a name in `DELIMITERS`, one character, or `auto`.

    `auto` takes the character that gives a header with both columns.

    Raises:
        ValueError: The table has no such column; the message lists its columns.
    """
    characters = list(DELIMITERS.values())
    if delimiter != "auto":
        characters = [DELIMITERS.get(delimiter, delimiter.replace("\\t", "\t"))]
        if len(characters[0]) != 1:
            raise ValueError(
                f"--delimiter {delimiter!r}: must be auto, {', '.join(DELIMITERS)} or one character"
            )
    headers = {character: _header(path, character) for character in characters}
    best = max(headers, key=lambda c: (len(set(keys) & set(headers[c])), len(headers[c])))
    for option, key in zip(("--image-key", "--caption-key"), keys, strict=True):
        if (count := headers[best].count(key)) > 1:
            raise ValueError(f"{option} {key!r}: {path} has {count} such columns")
        if count == 0:
            columns = ", ".join(repr(_shown(column)) for column in headers[best]) or "none"
            raise ValueError(f"{option} {key!r}: no such column in {path}; columns: {columns}")
    return best


def _header(path: Path, delimiter: str) -> list[str]:
    with open(path, newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        return next(csv.reader(file, delimiter=delimiter), [])


def read_rows(
    path: Path, delimiter: str, image_key: str, caption_key: str
) -> Iterator[Row | BadRow]:
    """The rows in order, fields stripped; empty lines are skipped."""
    csv.field_size_limit(LONGEST_FIELD)
    with open(path, newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        reader = csv.reader(file, delimiter=delimiter)
        header = next(reader)
        image_column, caption_column = header.index(image_key), header.index(caption_key)
        while True:
            line = reader.line_num + 1
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield BadRow(line, "", f"not a row: {error}")
                continue
            if not fields:
                continue
            if len(fields) != len(header):
                yield BadRow(line, "", f"{len(fields)} columns, the header has {len(header)}")
                continue
            image, caption = fields[image_column].strip(), fields[caption_column].strip()
            if not image:
                yield BadRow(line, "", "no image path")
            elif not caption:
                yield BadRow(line, _shown(image), "empty caption")
            elif _shown(caption) != caption:
                yield BadRow(line, _shown(image), "caption is not UTF-8")
            else:
                yield Row(line, image, caption)


def _shown(text: str) -> str:
    """`text`; bytes that are not UTF-8 become question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")


def digest(path: Path) -> str:
    """SHA-256 of the file's bytes."""
    found = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            found.update(chunk)
    return found.hexdigest()
