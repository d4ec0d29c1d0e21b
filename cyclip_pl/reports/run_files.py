"""JSON and names from run folders, which strangers may have written."""

from __future__ import annotations

import json
import reprlib
from pathlib import Path
from typing import Any

from cyclip_pl.console import plain as plain

MOST_BYTES = 4 << 20
"""The largest file that is read: a hundred times what an evaluation writes."""


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; `NaN` is allowed, as Python writes it.

    Raises:
        ValueError: One line that names the file.
    """
    content = read_bytes(path)
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} must hold a JSON object; it holds a {type(found).__name__}")
    return found


def read_bytes(path: Path, most: int | None = None) -> bytes:
    """The content of a file of at most `most` bytes, `MOST_BYTES` if None.

    Raises:
        ValueError: One line that names the file.
    """
    most = MOST_BYTES if most is None else most
    try:
        if not path.is_file():  # reading a named pipe would wait for ever
            raise ValueError(f"{path} is not a file")
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error
    if len(content) > most:
        raise ValueError(f"{path} has more than {most:,} bytes: not a file of a run")
    return content


def read_text(path: Path, most: int | None = None) -> str:
    """As `read_bytes`, UTF-8; what is not UTF-8 becomes U+FFFD."""
    return read_bytes(path, most).decode("utf-8", "replace")


def number(value: Any, where: str) -> float:
    """A JSON number as a float; nan and the infinities are allowed.

    Raises:
        ValueError: `where` and what it holds.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{where} must be a number; it is {reprlib.repr(value)}")
    try:
        return float(value)
    except OverflowError as error:
        raise ValueError(f"{where} is too large a number") from error
