"""`torch.compile` as a setting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn

ARGUMENTS = ("fullgraph", "dynamic", "backend", "mode", "options")


def compile_parts(parts: Iterable[nn.Module], setting: bool | Mapping[str, Any] | None) -> None:
    """Compile each part's forward in place, at its first call; weights keep their names.

    The parts are encoder and projector. The objective is not compiled: it loops over tiles between
    collectives, and its products are single kernels already.

    Args:
        parts: Modules that training calls.
        setting: True; or arguments of `torch.compile` (`ARGUMENTS`); None or False for nothing.

    Raises:
        ValueError: Another setting, or arguments that `torch.compile` does not take.
    """
    if setting is None or setting is False:
        return
    arguments = {} if setting is True else setting
    if not isinstance(arguments, Mapping) or not arguments.keys() <= set(ARGUMENTS):
        raise ValueError(
            f"compile={setting}: must be true, false or a mapping with arguments of torch.compile"
            f" ({', '.join(ARGUMENTS)})"
        )
    try:
        for part in parts:
            part.compile(**arguments)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"compile={arguments}: {str(error).splitlines()[0]}") from error
