"""The sets that a setting lists: the name of each, and the specification that opens it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cyclip_pl.evaluation.sets.remote import is_remote, name_of

Sets = Mapping[str, str] | Sequence[Any]
"""Sets in a configuration: `[cifar10, /data/x, {NAME: /data/y}]`, or a mapping of names to sets.

A list inside the list stands for its sets.
"""


def set_name(spec: str | Path) -> str:
    """The name of a set for which the configuration gives none."""
    return name_of(str(spec)) if is_remote(str(spec)) else Path(spec).name


def named_sets(sets: Sets, setting: str) -> dict[str, str]:
    """Name → specification of each set; ValueError, one line that names `setting`."""
    specs: dict[str, str] = {}
    for name, spec in _pairs(sets, setting):
        name = str(name) if type(name) is int else name  # a year, read as a number
        if not isinstance(name, str) or not name or "/" in name:
            raise ValueError(f"{setting}: {name!r} cannot name a set: '/' separates parts of keys")
        if not isinstance(spec, str | Path) or not str(spec):
            raise ValueError(f"{setting}: {name} must be a folder, a URL or a name, not {spec!r}")
        if name in specs:
            raise ValueError(f"{setting}: two sets are called {name}: write [{{NAME: SET}}, ...]")
        specs[name] = str(spec)
    if not specs:
        raise ValueError(f"{setting}=[]: must name at least one set")
    return specs


def _pairs(sets: Any, setting: str) -> Iterator[tuple[Any, Any]]:
    if isinstance(sets, Mapping):
        yield from sets.items()
    elif isinstance(sets, Sequence) and not isinstance(sets, str):
        for entry in sets:
            if isinstance(entry, str | Path):
                try:
                    yield set_name(entry), entry
                except ValueError as error:
                    raise ValueError(f"{setting}: {error}") from error
            else:
                yield from _pairs(entry, setting)
    else:
        hint = f"; write [{sets}]" if isinstance(sets, str) else ""
        raise ValueError(
            f"{setting}={sets}: must be a list of sets (folders, URLs, names), or a mapping of "
            f"names to sets{hint}"
        )
