"""Read a hierarchy for the classes of a set."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cyclip_pl.evaluation.sets.classes_file import read_classes
from cyclip_pl.evaluation.sets.texts import read_json

SHIPPED = {path.stem: path for path in Path(__file__).parent.glob("*.json")}


def read_hierarchy(
    path: str | Path, classnames: Sequence[str], level: int = 0
) -> tuple[Tensor, list[str]]:
    """The superclass of each class: int64 (K,) on the CPU, and the names in the file's order.

    Names are compared as they are; if none matches, without regard to case, hyphens and
    underscores. If several classes share a name: one entry in the file covers all of them; as many
    entries as classes are matched in order.

    Args:
        path: A file as in the package's docstring; the name of a shipped one (`cifar100`); or a
            `classes.py` of CyCLIP's code with "superclasses", named after their first classes.
        classnames: The K class names of the set.
        level: The level to use; 0 is the coarsest.

    Raises:
        ValueError: A class is missing, listed too often, or unknown to the set; one line that
            names the file and the class.
    """
    file = SHIPPED.get(str(path)) or Path(path)
    numbers: dict[str, list[int]] = defaultdict(list)
    for number, name in enumerate(classnames):
        numbers[name].append(number)
    alike = {_plain(name): name for name in reversed(classnames)}

    listed: dict[str, list[int]] = defaultdict(list)
    superclasses: dict[tuple[str, ...], int] = {}
    for keys, name in _listed(file):
        if len(keys) <= level:
            raise ValueError(f"{file} has {len(keys)} levels above {name!r}, not level {level}")
        known = name if name in numbers else alike.get(_plain(name))
        if known is None:
            raise ValueError(f"{file}: {name!r} in {keys[-1]!r} is not a class of the set")
        number = superclasses.setdefault(keys[: level + 1], len(superclasses))
        listed[known].append(number)

    superclass_K = torch.empty(len(classnames), dtype=torch.int64)
    for name, of_name in numbers.items():
        found = listed[name]
        if not found:
            raise ValueError(f"{file}: the class {name!r} is missing")
        if len(found) not in (1, len(of_name)):
            raise ValueError(f"{file}: the class {name!r} is listed {len(found)} times")
        superclass_K[of_name] = torch.tensor(found)
    return superclass_K, [keys[-1] for keys in superclasses]


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())


def _listed(file: Path) -> Iterator[tuple[tuple[str, ...], str]]:
    """Each class name of the file with its superclasses, the coarsest first."""
    if file.suffix == ".py":
        groups = read_classes(file).superclasses
        if groups is None:
            raise ValueError(f'{file} has no "superclasses"')
        content: Any = {f"{', '.join(group[:2])}, …": group for group in groups}
    else:
        if not file.is_file():
            raise ValueError(f"{file} cannot be read: not a file (shipped: {', '.join(SHIPPED)})")
        content = read_json(file, partial(_unique, file))
    yield from _walk(content, (), file)


def _walk(node: Any, keys: tuple[str, ...], file: Path) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(node, dict) and node:
        for key, below in node.items():
            yield from _walk(below, (*keys, key), file)
    elif isinstance(node, list) and node and keys and all(isinstance(name, str) for name in node):
        for name in node:
            yield keys, name
    else:
        where = repr(keys[-1]) if keys else "it"
        raise ValueError(f"{file}: {where} must hold class names, {{superclass: [class name, …]}}")


def _unique(file: Path, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    for name, times in Counter(name for name, _ in pairs).items():
        if times > 1:
            raise ValueError(f"{file}: the superclass {name!r} is listed twice")
    return dict(pairs)
