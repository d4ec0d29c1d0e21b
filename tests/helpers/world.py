"""A world of coloured shapes: training shards and a zero-shot set, made in a second."""

from __future__ import annotations

import io
import json
from pathlib import Path

from PIL import Image, ImageDraw

from cyclip_pl.data.prepare.shards import (
    write_classification_set,
    write_labelled_split,
    write_retrieval_set,
    write_training_shards,
)

COLOURS = ("red", "green", "blue", "black")
SHAPES = ("square", "circle", "bar")
CLASSES = [f"{colour} {shape}" for colour in COLOURS for shape in SHAPES]
SAMPLES = 96


def shape_png(index: int, side: int = 24) -> bytes:
    """PNG of class `index % 12`, its place a function of `index`."""
    colour, shape = CLASSES[index % len(CLASSES)].split()
    image = Image.new("RGB", (side, side), "white")
    left = 2 + index % 5
    box = (left, 4, left + 14, 10 if shape == "bar" else 18)
    draw = ImageDraw.Draw(image)
    (draw.ellipse if shape == "circle" else draw.rectangle)(box, fill=colour)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def write_world(folder: Path) -> Path:
    """`train/` of 96 samples in 4 shards, and the zero-shot set `shapes/` of 12 classes.

    Beside it the training images with labels, `shapes/train`; `moved/`, the same classes;
    and `captions/`, for retrieval. `shapes/` has a hierarchy by colour.
    """
    samples = {
        f"{i:03d}": {"png": shape_png(i), "txt": f"a {CLASSES[i % len(CLASSES)]}".encode()}
        for i in range(SAMPLES)
    }
    write_training_shards(folder / "train", samples, shards=4, salt="world")
    images = {f"{i:03d}": shape_png(i + 7) for i in range(36)}
    labels = {f"{i:03d}": CLASSES[(i + 7) % len(CLASSES)] for i in range(36)}
    write_classification_set(folder / "shapes", images, labels, CLASSES, ["{c}", "a {c}"])
    write_classification_set(folder / "moved", images, labels, CLASSES, ["{c}"])
    of_train = {key: CLASSES[int(key) % len(CLASSES)] for key in samples}
    shown = {key: members["png"] for key, members in samples.items()}
    write_labelled_split(folder / "shapes" / "train", shown, of_train, CLASSES)
    captions = {key: [f"a {name}", name] for key, name in labels.items()}
    write_retrieval_set(folder / "captions", images, captions)
    by_colour = {c: [name for name in CLASSES if name.startswith(c)] for c in COLOURS}
    (folder / "shapes" / "hierarchy.json").write_text(json.dumps(by_colour))
    return folder


def shrunk(world: Path) -> list[str]:
    """Overrides that make the default run a matter of seconds in that world."""
    return [
        "data=webdataset",
        f"data.train.shards={world}/train",
        "data.batch_size=24",
        "data.workers=0",
        f"evaluation.zero_shot.datasets=[{world}/shapes]",
        "encoder.image_size=32",
        "trainer.accelerator=cpu",
        "trainer.max_steps=4",
        "trainer.log_every_n_steps=1",
    ]
