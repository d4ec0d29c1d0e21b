"""Formulas of metrics in plain loops, independent of the package."""

from __future__ import annotations


def dot(a: list[float], b: list[float]) -> float:
    """<a, b>."""
    return sum(x * y for x, y in zip(a, b, strict=True))


def square(a: list[float], b: list[float]) -> float:
    """|a - b|^2."""
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))
