"""`torch.compile` as a setting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn

ARGUMENTS = ("fullgraph", "dynamic", "backend", "mode", "options")


def compile_parts(parts: Iterable[nn.Module], setting: bool | Mapping[str, Any] | None) -> None:
    """Compile each part's forward in place, at its first call; names of weights stay as they are.

    Encoder and projector are meant. The objective stays eager: its tiles are a loop whose length
    is the batch's, between collectives, and its products are single kernels already.

    Args:
        parts: modules that are called, in training.
        setting: true; or arguments of `torch.compile` (`ARGUMENTS`); null or false for nothing.

    Raises:
        ValueError: something else, or arguments that `torch.compile` does not take.
    """
    if setting is None or setting is False:
        return
    arguments = {} if setting is True else setting
    if not isinstance(arguments, Mapping) or not arguments.keys() <= set(ARGUMENTS):
        raise ValueError(
            "compile must be true, false or a mapping with keys of torch.compile"
            f" ({', '.join(ARGUMENTS)}), got {setting!r}"
        )
    try:
        for part in parts:
            part.compile(**arguments)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"compile={arguments}: {str(error).splitlines()[0]}") from error
