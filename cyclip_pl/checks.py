"""Checks of settings, with one wording: `setting=value: must be …`.

Each raises ValueError, one line that names the setting; `optional` allows None (null in YAML).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn


def boolean(setting: str, value: Any, optional: bool = False) -> None:
    """`value` is a bool."""
    if not isinstance(value, bool) and not (optional and value is None):
        refuse(setting, value, "true or false", optional)


def text(setting: str, value: Any, optional: bool = False) -> None:
    """`value` is a string that is not empty."""
    if not (isinstance(value, str) and value) and not (optional and value is None):
        refuse(setting, value, "a text", optional)


def whole(
    setting: str,
    value: Any,
    least: int | None = 1,
    optional: bool = False,
    unlimited: bool = False,
) -> None:
    """`value` is an int of at least `least`; a bool is not. `unlimited` allows -1."""
    if (optional and value is None) or (unlimited and value == -1):
        return
    if type(value) is not int or (least is not None and value < least):
        bound = "" if least is None else f" of at least {least}"
        no_limit = ", or -1 for no limit" * unlimited
        refuse(setting, value, f"a whole number{bound}{no_limit}", optional)


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
        refuse(setting, value, f"a number {' and '.join(bounds)}".rstrip(), optional)


def probability(setting: str, value: Any) -> None:
    """`value` is a number from 0 to 1."""
    number(setting, value, least=0, most=1)


def one_of(setting: str, value: Any, choices: Iterable[str], optional: bool = False) -> None:
    """`value` is one of the choices."""
    if optional and value is None:
        return
    choices = list(choices)
    if value not in choices:
        hint = did_you_mean(str(value), choices)
        refuse(setting, value, f"one of {', '.join(choices)}{hint}", optional)


def whole_numbers(setting: str, values: Any, least: int = 1) -> tuple[int, ...]:
    """Distinct whole numbers of at least `least`, in their order; one or more."""
    wrong = isinstance(values, str) or not isinstance(values, Sequence) or not values
    if wrong or any(type(value) is not int or value < least for value in values):
        refuse(setting, values, f"a list of whole numbers of at least {least}")
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
        refuse(setting, list(value) if isinstance(value, Sequence) else value, kind)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of an error about an unknown name: "; did you mean X?", or nothing."""
    close = get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def refuse(setting: str, value: Any, kind: str, optional: bool = False) -> NoReturn:
    """Raise the error about a value that is not of its kind; YAML's words, as the user types."""
    shown = {None: "null", True: "true", False: "false"}[value] if _is_word(value) else value
    raise ValueError(f"{setting}={shown}: must be {'null or ' if optional else ''}{kind}")


def _is_word(value: Any) -> bool:
    return value is None or isinstance(value, bool)
