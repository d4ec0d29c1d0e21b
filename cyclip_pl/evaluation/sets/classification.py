"""Zero-shot classification sets in the WebDataset layout of `clip_benchmark`.

<folder>/classnames.txt                            a class a line; line 0 is class 0
<folder>/zeroshot_classification_templates.txt     a prompt a line, with {c} for the class
<folder>/hierarchy.json                            superclasses (may be missing), see `hierarchies`
<folder>/<split>/                                  shards, see `image_shards`, with <key>.cls
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cyclip_pl.evaluation.sets.image_shards import ImageShards, check_folder, text_lines

CLASSNAMES = "classnames.txt"
HIERARCHY = "hierarchy.json"
TEMPLATES = "zeroshot_classification_templates.txt"
_LABEL_BYTES = 32


class ClassificationSet(ImageShards):
    """Labelled images and the names of their classes; any image can be read alone.

    Opening reads every label and where every image lies, and no image.

    Args:
        folder: The set's folder.
        split: The folder of its shards, inside it.
        name: What figures call it; the folder's name if None.
        metric: What is reported of it, see `LabelledSet`.

    Attributes:
        folder: Where it is.
        name: What figures call it.
        classnames: K names.
        templates: Its own prompts with `{c}`, or None where it has no file of them.
        hierarchy: Its `hierarchy.json`, or None where it has none.
        metric: As given.
        label_N: int64, (N,), the class of each sample, on the CPU.

    Raises:
        ValueError: One line that names the file at fault.
    """

    def __init__(
        self,
        folder: str | Path,
        split: str = "test",
        name: str | None = None,
        metric: str = "accuracy",
    ) -> None:
        super().__init__(Path(folder), split, name)
        check_folder(self.folder, split, "classification", CLASSNAMES)
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
        raise ValueError(f"{path} is empty: it names a class a line")
    if "" in names:
        raise ValueError(f"{path}, line {names.index('') + 1}, is empty: it names a class a line")
    return names


def _read_templates(path: Path) -> list[str]:
    templates = [line for line in text_lines(path) if line]
    if not templates:
        raise ValueError(f"{path} is empty: it holds a prompt a line, with {{c}} for the class")
    for template in templates:
        if "{c}" not in template:
            raise ValueError(f"{path}: no {{c}} in the template {template!r}")
    return templates


def _label(shard: Path, key: str, text: bytes | None, classes: int) -> int:
    if text is None:
        raise ValueError(f"{shard}: sample {key} has an image and no .cls")
    text = text.strip()
    # A leading minus is let through to be reported as out of range.
    if not text.removeprefix(b"-").isdigit():
        raise ValueError(f"{shard}: {key}.cls must hold a class number, it holds {text!r}")
    label = int(text)
    if not 0 <= label < classes:
        raise ValueError(
            f"{shard}: {key}.cls says class {label}; {CLASSNAMES} has 0 to {classes - 1}"
        )
    return label
