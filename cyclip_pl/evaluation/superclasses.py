"""The superclass of each class, from a JSON file by class name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor


def read_superclasses(
    path: str | Path, level: str, classnames: Sequence[str]
) -> tuple[Tensor, list[str]]:
    """Superclasses of a set's classes from a file such as the emoji's `hierarchy.json`:

        {"dog": {"subcategory": "animal-mammal", "category": "Animals & Nature"}, ...}

    Args:
        path: It may have other classes too.
        level: Which key to group by.
        classnames: K names.

    Returns:
        `superclass_K`, int64, and the S names of the superclasses, sorted.

    Raises:
        ValueError: One line that names the file, and the class or the level that it lacks.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must map class names to {{level: superclass}}")
    of_class = []
    for name in classnames:
        if name not in content:
            raise ValueError(f"{path}: the class {name!r} is missing")
        levels = content[name]
        if not isinstance(levels, dict) or not isinstance(levels.get(level), str):
            found = ", ".join(levels) if isinstance(levels, dict) else repr(levels)
            raise ValueError(f"{path}: the class {name!r} has no level {level!r}; it has: {found}")
        of_class.append(levels[level])
    names = sorted(set(of_class))
    number = {name: s for s, name in enumerate(names)}
    return torch.tensor([number[name] for name in of_class], dtype=torch.int64), names
