"""What differs between the runs' settings, and names that tell runs apart by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cyclip_pl.metric_kinds import MISSING
from cyclip_pl.reports.run_config import RunConfig

SEED = "seed"
_SHORT = {"objective.lambda_in_modal": "λ1", "objective.lambda_cross_modal": "λ2"}
_FIRST = "objective"
_LONGEST = 40  # of a value in a name


@dataclass(frozen=True)
class Difference:
    """A setting, or the choice of a group, and its value in each run; None where it has none."""

    name: str
    short: str
    values: tuple[str | None, ...]

    def shown(self, run: int) -> str:
        """The value, or a dash."""
        value = self.values[run]
        return MISSING if value is None else value


def differences(configs: Sequence[RunConfig]) -> list[Difference]:
    """What is not equal in all runs: choices first, the seed last.

    Of a group whose choice differs, a setting is listed only if it also differs between two runs
    of one choice: the rest is what the choice means. Runs whose settings are not known have None.
    """
    groups = _differing([config.choices for config in configs])
    settings = _differing([config.settings for config in configs])
    kept = {}
    for name, values in settings.items():
        choice = groups.get(name.split(".")[0])
        if choice is None or _differs_within(choice, values):
            kept[name] = values
    names = [*sorted(groups, key=lambda g: (g != _FIRST, g)), *sorted(kept, key=_last)]
    values_of = {**kept, **groups}
    return [Difference(name, _short(name, names), values_of[name]) for name in names]


def names_by(
    found: Sequence[Difference], configs: Sequence[RunConfig], folders: Sequence[str]
) -> list[str]:
    """A name per run: the fewest differences that tell the runs apart, `objective=clip, lr=0.1`.

    What was typed on the command line comes first. Runs that nothing tells apart get their
    folder's name too.
    """
    typed = {name for config in configs for name in config.typed}
    order = sorted(found, key=lambda one: (one.name == SEED, one.name not in typed))
    used: list[Difference] = []
    keys: list[tuple[str | None, ...]] = [() for _ in folders]
    for one in order:
        longer = [(*key, value) for key, value in zip(keys, one.values, strict=True)]
        if len(set(longer)) > len(set(keys)):
            used.append(one)
            keys = longer
    names = [joined(used, run) or folder for run, folder in enumerate(folders)]
    return [
        f"{name} ({folder})" if names.count(name) > 1 else name
        for name, folder in zip(names, folders, strict=True)
    ]


def joined(found: Sequence[Difference], run: int) -> str:
    """`objective=clip, lr=0.1`: a run's values, without those that it does not have."""
    shown = [(one.short, one.values[run]) for one in found]
    return ", ".join(f"{short}={_cut(value)}" for short, value in shown if value is not None)


def _differing(all_values: Sequence[object]) -> dict[str, tuple[str | None, ...]]:
    maps = [values for values in all_values if isinstance(values, dict)]
    names = dict.fromkeys(name for values in maps for name in values)
    by_name = {name: tuple(values.get(name) for values in maps) for name in names}
    return {name: values for name, values in by_name.items() if len(set(values)) > 1}


def _differs_within(choice: tuple[str | None, ...], values: tuple[str | None, ...]) -> bool:
    return len(set(zip(choice, values, strict=True))) > len(set(choice))


def _last(name: str) -> tuple[bool, bool, str]:
    return name == SEED, not name.startswith(_FIRST), name


def _short(name: str, names: Sequence[str]) -> str:
    """The end of a dotted name, as long as it takes to be the only one."""
    if name in _SHORT:
        return _SHORT[name]
    parts = name.split(".")
    for length in range(1, len(parts)):
        end = ".".join(parts[-length:])
        if not any(other != name and f".{other}".endswith(f".{end}") for other in names):
            return end
    return name


def _cut(value: str) -> str:
    return value if len(value) <= _LONGEST else f"…{value[1 - _LONGEST :]}"
