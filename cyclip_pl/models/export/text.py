"""Texts of strangers in Markdown: shown as they are, never as markup, without what is secret."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

_LONGEST = 2000
# What stands before the host of a URL, and the parameters behind it: passwords, signatures, tokens.
_USER = re.compile(r"(\w://)[^/\s@'\"]+@")
_QUERY = re.compile(r"(\w://[^\s?'\"\[\]{}]*)\?[^\s'\"\]}]*")
_SECRET = re.compile(
    r"(\w*(?:token|secret|password|api_?key)\w*[\s'\"]*[=:]\s*)(['\"]?)[^\s,'\"}]+\2", re.IGNORECASE
)


def code(value: Any) -> str:
    """A value as inline code, on one line."""
    text = _printable(value)
    if not text:
        return "–"
    ticks = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    pad = " " if "`" in text else ""
    return f"{ticks}{pad}{text}{pad}{ticks}"


def block(text: Any, language: str = "") -> str:
    """A text as a fenced block of one line."""
    text = _printable(text)
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a bar within a cell does not end it."""
    lines = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return "\n".join(
        f"| {' | '.join(cells)} |" for cells in (list(head), ["---"] * len(head), *lines)
    )


def _printable(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    text = _SECRET.sub(r"\1…", _QUERY.sub(r"\1", _USER.sub(r"\1…@", text)))
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
