"""Zero-shot classification sets in clip_benchmark's layout: `<key>.cls` holds the class number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cyclip_pl.evaluation.sets.image_shards import ImageShards, check_folder, text_lines
from cyclip_pl.layout import CLASSNAMES, HIERARCHY, TEMPLATES

_LABEL_BYTES = 32


class ClassificationSet(ImageShards):
    """A `LabelledSet` in a folder.

    Opening reads every label and the place of every image, but no image.

    Args:
        folder: The set's folder.
        split: The folder of its shards, inside `folder`.
        name: The first part of its metrics' keys; the folder's name if None.
        metric: The metric that is usual for it, see `LabelledSet`.

    Raises:
        Unusable: It has no such split, or no classes.
        ValueError: One line that names the file at fault.
    """

    def __init__(
        self,
        folder: str | Path,
        split: str = "test",
        name: str | None = None,
        metric: str = "acc1",
    ) -> None:
        super().__init__(Path(folder), split, name)
        check_folder(self.folder, split, "classification")
        self.metric = metric
        self.classnames = _read_classnames(self.folder / CLASSNAMES)
        templates = self.folder / TEMPLATES
        self.templates = _read_templates(templates) if templates.is_file() else None
        hierarchy = self.folder / HIERARCHY
        self.hierarchy = hierarchy if hierarchy.is_file() else None
        labels = [
            _label(shard, key, text, len(self.classnames))
            for shard, key, text in self._index("cls", _LABEL_BYTES)
        ]
        self.label_N: Tensor = torch.tensor(labels, dtype=torch.int64)

    def _beside(self) -> Any:
        return [self.classnames, self.templates]


def _read_classnames(path: Path) -> list[str]:
    names = text_lines(path)
    while names and not names[-1]:
        names.pop()
    if not names:
        raise ValueError(f"{path} is empty: it must hold one class name per line")
    if "" in names:
        line = names.index("") + 1
        raise ValueError(f"{path}, line {line}, is empty: it must hold a class name")
    return names


def _read_templates(path: Path) -> list[str]:
    templates = [line for line in text_lines(path) if line]
    if not templates:
        raise ValueError(f"{path} is empty: it must hold one prompt per line, {{c}} for the class")
    for template in templates:
        if "{c}" not in template:
            raise ValueError(f"{path}: no {{c}} in the template {template!r}")
    return templates


def _label(shard: Path, key: str, text: bytes | None, classes: int) -> int:
    if text is None:
        raise ValueError(f"{shard}: sample {key} has an image but no .cls")
    text = text.strip()
    # A leading minus passes here and is reported as out of range.
    if not text.removeprefix(b"-").isdigit():
        raise ValueError(f"{shard}: {key}.cls must hold a class number, it holds {text!r}")
    label = int(text)
    if not 0 <= label < classes:
        raise ValueError(
            f"{shard}: {key}.cls says class {label}; {CLASSNAMES} has 0 to {classes - 1}"
        )
    return label
