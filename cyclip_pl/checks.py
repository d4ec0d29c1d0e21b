"""Checks of what a user sets, with one wording."""

from __future__ import annotations

from collections.abc import Sequence


def whole_numbers(values: Sequence[int], setting: str) -> tuple[int, ...]:
    """Distinct whole numbers of at least 1, in their order.

    Raises:
        ValueError: One line that names `setting`.
    """
    if isinstance(values, str) or not isinstance(values, Sequence) or not values:
        raise ValueError(f"{setting} must be a list of numbers; got {values!r}")
    for value in values:
        if type(value) is not int or value < 1:
            raise ValueError(f"{setting} must be a whole number of at least 1; got {value!r}")
    return tuple(dict.fromkeys(values))


def check_probability(name: str, value: float) -> None:
    """
    Raises:
        ValueError: not in [0, 1].
    """
    if not 0 <= value <= 1:
        raise ValueError(f"{name} is a probability from 0 to 1, not {value!r}")


def check_range(name: str, value: Sequence[float], above: float, most: float) -> None:
    """
    Raises:
        ValueError: not two numbers, least first, in (above, most].
    """
    if len(value) != 2 or not above < value[0] <= value[1] <= most:
        raise ValueError(
            f"{name} is [least, greatest], above {above:g} and at most {most:g}, not {list(value)}"
        )
