"""Text files of strangers: UTF-8, one line per error."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


def read_text(path: Path) -> str:
    """The text of a file; ValueError if it is missing or is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text: {error}") from error
    except FileNotFoundError as error:
        raise ValueError(f"{path} is missing") from error
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error


def text_lines(path: Path) -> list[str]:
    """The lines of a file, stripped; errors as of `read_text`."""
    # Not splitlines(): a class name may hold what else it takes for the end of a line.
    return [line.strip() for line in read_text(path).removesuffix("\n").split("\n")]


def read_json(path: Path, pairs: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """The content of a JSON file; ValueError if it is not one. `pairs` makes its objects."""
    try:
        return json.loads(read_text(path), object_pairs_hook=pairs)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
