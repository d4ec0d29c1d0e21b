"""Checks of what a configuration says."""

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
