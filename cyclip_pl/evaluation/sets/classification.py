"""Zero-shot classification sets in clip_benchmark's layout: `<key>.cls` holds the class number."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from cyclip_pl.evaluation.sets.image_shards import ImageShards
from cyclip_pl.evaluation.sets.texts import text_lines
from cyclip_pl.layout import CLASSNAMES, HIERARCHY, TEMPLATES


class ClassificationSet(ImageShards):
    """A `LabelledSet` in a folder; arguments and errors as of `ImageShards`.

    Args:
        metric: The metric that is usual for it, see `LabelledSet`.
    """

    kind, suffix, text_bytes = "classification", "cls", 32

    def __init__(
        self,
        folder: str | Path,
        split: str = "test",
        name: str | None = None,
        metric: str = "acc1",
    ) -> None:
        super().__init__(folder, split, name)
        self.metric = metric
        self.classnames = _read_classnames(self.folder / CLASSNAMES)
        templates = self.folder / TEMPLATES
        self.templates = _read_templates(templates) if templates.is_file() else None
        self._beside = [self.classnames, self.templates]
        hierarchy = self.folder / HIERARCHY
        self.hierarchy = hierarchy if hierarchy.is_file() else None
        labels = [_label(where, text, len(self.classnames)) for where, text in self._index()]
        self.label_N: Tensor = torch.tensor(labels, dtype=torch.int64)


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


def _label(where: str, text: bytes, classes: int) -> int:
    text = text.strip()
    # A leading minus passes here and is reported as out of range.
    if not text.removeprefix(b"-").isdigit():
        raise ValueError(f"{where} must hold a class number, it holds {text!r}")
    label = int(text)
    if not 0 <= label < classes:
        raise ValueError(f"{where} says class {label}; {CLASSNAMES} has 0 to {classes - 1}")
    return label
