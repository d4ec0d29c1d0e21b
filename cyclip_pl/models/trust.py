"""Which classes a checkpoint may name: this package's own, and those that its user vouches for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import import_module

from torch import nn

from cyclip_pl.files import reason
from cyclip_pl.models.allowed import shown

Trust = bool | str | Sequence[str]
"""False; the name of a package, or several; or True for all that a checkpoint names."""

_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)


def check_trust(trust: Trust) -> None:
    """Raise ValueError unless it is a bool, or the dotted name of a package, or several."""
    for name in () if isinstance(trust, bool) else _packages(trust):
        if not (isinstance(name, str) and _DOTTED.fullmatch(name)):
            raise ValueError(
                f"trust={shown(trust)}: must be true, false or the name of your package, such as"
                " my_package"
            )


def is_vouched_for(target: str, trust: Trust) -> bool:
    """Whether the user vouches for the class with this dotted name."""
    if isinstance(trust, bool):
        return trust and _DOTTED.fullmatch(target) is not None
    return _DOTTED.fullmatch(target) is not None and any(
        target.startswith(f"{package}.") for package in _packages(trust)
    )


def find_class(target: str, base: type[nn.Module]) -> type | None:
    """The class with this dotted name, imported; None if it is not a subclass of `base`.

    Raises:
        ValueError: Its module cannot be imported; the text is the end of a line.
    """
    module, _, name = target.rpartition(".")
    try:
        found = getattr(import_module(module), name, None)
    except Exception as error:  # it is code of the user's
        raise ValueError(f"cannot be imported: {reason(error)}") from error
    return found if isinstance(found, type) and issubclass(found, base) else None


def _packages(trust: str | Sequence[str]) -> Sequence[str]:
    return [trust] if isinstance(trust, str) else trust
