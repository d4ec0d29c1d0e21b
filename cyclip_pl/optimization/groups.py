"""Parameter groups: which parameters decay, at which rate each learns."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

from torch import nn

from cyclip_pl.optimization.rates import Rates


class Group(NamedTuple):
    """Names of parameters, and the settings in which they differ from the optimizer's own."""

    names: list[str]
    settings: dict[str, Any]


def grouped(
    module: nn.Module, rates: Rates | None = None, matrices: Collection[str] | None = None
) -> list[Group]:
    """The trainable parameters in groups, with the optimizer's weight decay and without.

    The weights of linear maps and convolutions decay. Norms, biases and learnable scalars have
    fewer than two dimensions and do not. The objective's parameters are by themselves: where those
    of encoder and projector are sharded, they are not, and a step takes only one kind at a time.

    Args:
        rates: Other factors than 1 make groups of each part of the model, with a name and with
            their factor as `lr_scale`.
        matrices: Names that stand apart, for an optimizer that treats matrices by themselves; the
            other groups have `use_fallback`, as timm calls it.
    """
    plain = rates in (None, Rates())
    parts = {} if rates is None or plain else rates.parts(module)
    found: dict[str, Group] = {}
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        whole = "objective" if name.startswith("objective.") else ""
        part, scale = (whole, 1.0) if plain else parts[name]
        settings: dict[str, Any] = {} if plain else {"lr_scale": scale}
        if matrices is not None:
            settings["use_fallback"] = name not in matrices
            kind = "others" if settings["use_fallback"] else "matrices"
            part = f"{part}_{kind}".removeprefix("_")
        if parameter.ndim < 2:
            part += "_no_decay"
            settings["weight_decay"] = 0.0
        found.setdefault(part, Group([], {"name": part, **settings})).names.append(name)
    if not plain or matrices is not None:
        # In the order of `Muon`, which joins those of its two optimizers.
        return sorted(found.values(), key=lambda group: group.settings.get("use_fallback", False))
    # By their numbers, as Lightning's monitor names the rates of groups without a name.
    order = ("", "_no_decay", "objective", "objective_no_decay")
    for group in found.values():
        del group.settings["name"]
    return [found[part] for part in order if part in found]


def parameter_groups(
    module: nn.Module, rates: Rates | None = None, matrices: Collection[str] | None = None
) -> list[dict[str, Any]]:
    """`grouped`, as an optimizer takes them."""
    of = dict(module.named_parameters())
    return [
        {"params": [of[name] for name in names], **settings}
        for names, settings in grouped(module, rates, matrices)
    ]
