"""Splits in the layout of CyCLIP's authors."""

from __future__ import annotations

from pathlib import Path

from tests.helpers.evaluation_sets import png

CLASSES = '{"classes": ["zero", "one", "two"], "templates": [lambda c: f"a {c}."]}'


def write_split(folder: Path, labels: list[int], first: int = 0) -> Path:
    """Images `png(first)`, `png(first + 1)`, … of these classes."""
    (folder / "images").mkdir(parents=True)
    rows = ["image,label"]
    for n, label in enumerate(labels, first):
        (folder / "images" / f"{n}.png").write_bytes(png(n))
        rows.append(f"images/{n}.png,{label}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    (folder / "classes.py").write_text(CLASSES)
    return folder
