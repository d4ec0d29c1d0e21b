"""Names of classes: from folders' names, from labels, or from a file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from cyclip_pl.data.prepare.items import shown
from cyclip_pl.files import reason

LARGEST = 1 << 24
"""Bytes of a file of class names."""


def sorted_labels(labels: set[str]) -> list[str]:
    """In the order of their numbers if all are numbers, else of their letters."""
    numbers = all(label.isascii() and label.isdigit() for label in labels)
    return sorted(labels, key=(lambda label: (int(label), label)) if numbers else None)


def class_names(labels: Sequence[str], file: Path | None, folders: bool = False) -> list[str]:
    """The name of each class.

    Args:
        labels: The classes as the source writes them, in the order of their numbers.
        file: One name per line, in that order; or JSON, {"label": "name"}.
        folders: Whether the labels are names of folders, in which _ stands for a space.

    Raises:
        ValueError: Two classes have one name, the file does not fit, or the labels are numbers and
            there is no file; one line.
    """
    if file is not None:
        names = _from_file(file, labels)
    elif not folders and labels and all(label.isdigit() for label in labels):
        raise ValueError(
            f"the labels are numbers ({_some(labels)}); name the classes with --classnames FILE, "
            "one name per line"
        )
    else:
        names = [label.replace("_", " ") if folders else label for label in labels]
    names = [" ".join(shown(name).split()) for name in names]
    option = "--classnames" if file is None else f"--classnames {file}"
    for name, count in Counter(names).most_common(1):
        if count > 1:
            same = [label for label, other in zip(labels, names, strict=True) if other == name]
            raise ValueError(f"{option}: {count} classes are called {name!r} ({_some(same)})")
    if "" in names:
        raise ValueError(f"{option}: class {labels[names.index('')]!r} has an empty name")
    return names


def _from_file(file: Path, labels: Sequence[str]) -> list[str]:
    option = f"--classnames {file}"
    try:
        if file.stat().st_size > LARGEST:
            raise ValueError(f"larger than {LARGEST >> 20} MiB")
        text = file.read_text(encoding="utf-8-sig")
        table = json.loads(text) if file.suffix == ".json" else None
    except (OSError, ValueError, RecursionError) as error:
        why = getattr(error, "strerror", None) or reason(error)
        raise ValueError(f"{option}: {why}") from error
    if table is None:
        names = [line.strip() for line in text.rstrip().splitlines()]
        if len(names) != len(labels):
            raise ValueError(
                f"{option}: has {len(names)} names, but there are {len(labels)} classes "
                f"({_some(labels)})"
            )
        return names
    if not isinstance(table, dict) or not all(isinstance(name, str) for name in table.values()):
        raise ValueError(f'{option}: must be {{"label": "name"}}')
    if missing := [label for label in labels if label not in table]:
        raise ValueError(f"{option}: has no name for {_some(missing)}")
    return [table[label] for label in labels]


def _some(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - 4} more" if len(labels) > 4 else ""
    return ", ".join(shown(label) for label in labels[:4]) + more
