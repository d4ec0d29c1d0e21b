"""Small images, no two alike, in every form that a source takes."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("black_cat", "dog", "owl")


def png(number: int) -> bytes:
    """8 × 8 pixels that depend on `number`."""
    pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def class_folders(folder: Path, count: int = 30, first: int = 0) -> Path:
    """Images in a folder per class."""
    for number in range(first, first + count):
        path = folder / CLASSES[number % 3] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(number))
    return folder


def with_texts(folder: Path, count: int = 30) -> Path:
    """Images with two captions beside each, the odd ones in JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"{number}.png").write_bytes(png(number))
        captions = [f"image {number}", f"number {number}"]
        if number % 2:
            (folder / f"{number}.json").write_text(json.dumps({"caption": captions}))
        else:
            (folder / f"{number}.txt").write_text("\n".join(captions) + "\n")
    return folder


def table(folder: Path, count: int = 30) -> Path:
    """A CSV of such images, in a folder beside it."""
    with_texts(folder / "images", count)
    rows = [f"images/{n}.png,image {n},{CLASSES[n % 3]}" for n in range(count)]
    path = folder / "pairs.csv"
    path.write_text("\n".join(["image,caption,label", *rows]) + "\n")
    return path


def parquet(path: Path, count: int = 30, rows_per_group: int = 7, kind: str = "struct") -> Path:
    """A parquet file of such images; `kind`: struct, bytes or path."""
    import pyarrow
    import pyarrow.parquet

    def cell(number: int) -> object:
        if kind == "path":
            return f"images/{number}.png"
        content = png(number)
        return content if kind == "bytes" else {"bytes": content, "path": f"{number}.png"}

    rows = {
        "image": [cell(n) for n in range(count)],
        "caption": [[f"image {n}", f"number {n}"] for n in range(count)],
        "label": [CLASSES[n % 3] for n in range(count)],
        "number": list(range(count)),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.table(rows), path, row_group_size=rows_per_group)
    return path
