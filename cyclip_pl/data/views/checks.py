"""Checks of what a user sets."""

from __future__ import annotations

from collections.abc import Sequence


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
