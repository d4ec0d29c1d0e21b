"""The order of names in a report."""

from __future__ import annotations

import re


def natural(text: str) -> list[tuple[int, int, str]]:
    """A sorting key that compares digits as numbers: k3 comes before k10."""
    pieces = re.split(r"(\d{1,18})", text)
    return [(0, int(p), "") if p.isdecimal() and p.isascii() else (1, 0, p) for p in pieces]
