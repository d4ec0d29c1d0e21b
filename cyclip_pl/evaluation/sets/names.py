"""What a configuration says of the sets to look at: names, and what each name means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from cyclip_pl.evaluation.sets.remote import is_remote, name_of

Sets = Mapping[str, str] | Sequence[str | Mapping[str, str]]
"""Sets as a configuration lists them: `[cifar10, /data/x, {NAME: /data/y}]`, or names with sets."""


def set_name(spec: str | Path) -> str:
    """What figures call a set that gets no other name."""
    return name_of(str(spec)) if is_remote(str(spec)) else Path(spec).name


def named_sets(sets: Sets, setting: str) -> dict[str, str]:
    """Name -> what `open_labelled` or `open_captioned` is to open.

    Raises:
        ValueError: One line that names `setting`.
    """
    allowed = f"{setting} must be a list of sets (folders, URLs, names), or names with sets"
    if isinstance(sets, str):
        raise ValueError(f"{allowed}; got {sets!r}: write [{sets}]")
    pairs: list[tuple[str, str]] = []
    for entry in [sets] if isinstance(sets, Mapping) else sets:
        if isinstance(entry, Mapping):
            pairs += entry.items()
        elif isinstance(entry, str | Path):
            pairs.append((_name(entry, setting), str(entry)))
        else:
            raise ValueError(f"{allowed}; got {entry!r}")
    specs: dict[str, str] = {}
    for name, spec in pairs:
        if not isinstance(name, str) or not name or "/" in name:
            raise ValueError(f"{setting}: {name!r} cannot name a set: a '/' parts figures' names")
        if not isinstance(spec, str | Path) or not str(spec):
            raise ValueError(f"{setting}: {name} must be a folder, URL or name, it is {spec!r}")
        if name in specs:
            raise ValueError(f"{setting}: two sets are called {name}: write [{{NAME: SET}}, ...]")
        specs[name] = str(spec)
    if not specs:
        raise ValueError(f"{allowed}; it names none")
    return specs


def _name(spec: str | Path, setting: str) -> str:
    try:
        return set_name(spec)
    except ValueError as error:
        raise ValueError(f"{setting}: {error}") from error
