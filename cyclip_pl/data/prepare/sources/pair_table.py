"""A CSV or TSV of image paths and texts, read row by row; bad rows come as `BadRow`."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from cyclip_pl import checks
from cyclip_pl.data.prepare.items import BadRow, clean_captions, shown
from cyclip_pl.data.prepare.sources.columns import Columns
from cyclip_pl.data.prepare.sources.indexed import Row
from cyclip_pl.tables import QUOTING, find_quoting, read_header, read_table

DELIMITERS = {"comma": ",", "tab": "\t", "semicolon": ";", "pipe": "|"}


def find_delimiter(path: Path, delimiter: str, columns: Columns) -> str:
    """The character for `delimiter`: a name in `DELIMITERS`, one character, or `auto`.

    `auto` takes the character that gives a header with the columns.

    Raises:
        ValueError: The table has no such column; the message lists its columns.
    """
    characters = list(DELIMITERS.values())
    if delimiter != "auto":
        characters = [DELIMITERS.get(delimiter, delimiter.replace("\\t", "\t"))]
        if len(characters[0]) != 1 or characters[0] in '"\r\n':
            raise ValueError(
                f"--delimiter {delimiter!r}: must be auto, {', '.join(DELIMITERS)} or one character"
            )
    headers = {character: read_header(path, character) for character in characters}
    keys = {columns.image, columns.text}
    best = max(headers, key=lambda c: (len(keys & set(headers[c])), len(headers[c])))
    columns.check(headers[best], path)
    return best


def resolve_quoting(
    path: Path, delimiter: str, quoting: str, image_key: str, root: Path
) -> tuple[str, str]:
    """`csv` or `text` for one of them or `auto`, and a line about the choice for the user.

    Args:
        root: The folder of relative image paths; a line that names an image is a row.

    Raises:
        ValueError: `auto` cannot tell.
    """
    checks.one_of("--quoting", quoting, ("auto", *QUOTING))
    if quoting != "auto":
        return quoting, ""
    column = read_header(path, delimiter).index(image_key)
    try:
        found, rows = find_quoting(
            path, delimiter, lambda fields: os.path.isfile(root / fields[column].strip())
        )
    except ValueError as error:
        raise ValueError(f"{error}; pass --quoting text if each line is a row, else csv") from error
    if not rows:
        return found, ""
    kept = "removed, as a CSV writer has put them" if found == "csv" else "kept as text"
    other = "text" if found == "csv" else "csv"
    return found, (
        f"{rows} rows have a field that begins with a quotation mark: marks are {kept} "
        f"(--quoting {other} reads them otherwise)"
    )


def read_rows(path: Path, delimiter: str, quoting: str, columns: Columns) -> Iterator[Row | BadRow]:
    """The rows in order, fields stripped; empty lines are skipped."""
    rows = read_table(path, delimiter, quoting)
    header = [name.strip() for name in next(rows).fields]
    image_column, text_column = header.index(columns.image), header.index(columns.text)
    for row in rows:
        if row.problem:
            yield BadRow(row.number, "", row.problem)
            continue
        image = row.fields[image_column].strip()
        if not image:
            yield BadRow(row.number, "", "no image path")
            continue
        try:
            yield Row(row.number, image, clean_captions(row.fields[text_column]))
        except ValueError as error:
            why = str(error).replace("caption", "label") if columns.labelled else str(error)
            yield BadRow(row.number, shown(image), why)


def digest(path: Path) -> str:
    """SHA-256 of the file's bytes."""
    found = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            found.update(chunk)
    return found.hexdigest()
