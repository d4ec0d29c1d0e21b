"""Checks of settings, with one wording: `setting=value: must be …`.

Each raises ValueError, one line that names the setting; `optional` allows None (null in YAML).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any


def whole(setting: str, value: Any, least: int = 1, optional: bool = False) -> None:
    """`value` is an int of at least `least`; a bool is not."""
    if optional and value is None:
        return
    if type(value) is not int or value < least:
        _refuse(setting, value, f"a whole number of at least {least}", optional)


def number(
    setting: str,
    value: Any,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    optional: bool = False,
) -> None:
    """`value` is a finite int or float within the bounds; `above` excludes its bound."""
    if optional and value is None:
        return
    real = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if (
        not real
        or (least is not None and value < least)
        or (above is not None and value <= above)
        or (most is not None and value > most)
    ):
        bounds = [
            f"{word} {bound:g}"
            for word, bound in (("at least", least), ("above", above), ("at most", most))
            if bound is not None
        ]
        _refuse(setting, value, f"a number {' and '.join(bounds)}".rstrip(), optional)


def probability(setting: str, value: Any) -> None:
    """`value` is a number from 0 to 1."""
    number(setting, value, least=0, most=1)


def one_of(setting: str, value: Any, choices: Iterable[str], optional: bool = False) -> None:
    """`value` is one of the choices."""
    if optional and value is None:
        return
    choices = list(choices)
    if value not in choices:
        _refuse(setting, value, f"one of {', '.join(choices)}", optional)


def whole_numbers(setting: str, values: Any, least: int = 1) -> tuple[int, ...]:
    """Distinct whole numbers of at least `least`, in their order; one or more."""
    wrong = isinstance(values, str) or not isinstance(values, Sequence) or not values
    if wrong or any(type(value) is not int or value < least for value in values):
        _refuse(setting, values, f"a list of whole numbers of at least {least}")
    return tuple(dict.fromkeys(values))


def interval(setting: str, value: Any, above: float, most: float) -> None:
    """`value` is two numbers in (above, most], the smaller one first."""
    if (
        isinstance(value, str)
        or not isinstance(value, Sequence)
        or len(value) != 2
        or not above < value[0] <= value[1] <= most
    ):
        bound = f" and at most {most:g}" if most < math.inf else ""
        kind = f"[least, greatest], two numbers above {above:g}{bound}"
        _refuse(setting, list(value) if isinstance(value, Sequence) else value, kind)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of an error about an unknown name: "; did you mean X?", or nothing."""
    close = get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _refuse(setting: str, value: Any, kind: str, optional: bool = False) -> None:
    shown = "null" if value is None else value
    raise ValueError(f"{setting}={shown}: must be {'null or ' if optional else ''}{kind}")
