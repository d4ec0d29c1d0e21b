"""Parameter groups: which parameters decay, at which rate each learns."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

from torch import nn

from cyclip_pl.optimization.rates import Rates

# What wrappers add to the names of parameters.
_WRAPPERS = ("_fsdp_wrapped_module.", "_checkpoint_wrapped_module.", "_orig_mod.")


class Group(NamedTuple):
    """Names of parameters, and the settings in which they differ from the optimizer's own."""

    names: list[str]
    settings: dict[str, Any]


def decayed_names(module: nn.Module) -> set[str]:
    """Names of the parameters that decay: the weights of linear maps and convolutions.

    Norms, biases and learnable scalars have fewer than two dimensions and do not decay.
    """
    return {clean(name) for name, p in module.named_parameters() if p.ndim >= 2}


def grouped(
    module: nn.Module,
    decayed: Collection[str],
    rates: Rates | None = None,
    matrices: Collection[str] | None = None,
) -> list[Group]:
    """The trainable parameters in two groups, with the optimizer's weight decay and without.

    Args:
        rates: Other factors than 1 make groups of each part of the model, with a name and with
            their factor as `lr_scale`.
        matrices: Names that stand apart, for an optimizer that treats matrices by themselves; the
            other groups have `use_fallback`, as timm calls it.
    """
    learning = [clean(name) for name, p in module.named_parameters() if p.requires_grad]
    if matrices is None and rates in (None, Rates()):
        decaying = [name for name in learning if name in decayed]
        rest = [name for name in learning if name not in decayed]
        return [Group(decaying, {}), Group(rest, {"weight_decay": 0.0})]
    parts = None if rates in (None, Rates()) else rates.parts(module)
    found: dict[str, Group] = {}
    for name in learning:
        part, scale = ("", 1.0) if parts is None else parts[name]
        settings: dict[str, Any] = {} if parts is None else {"lr_scale": scale}
        if matrices is not None:
            settings["use_fallback"] = name not in matrices
            kind = "others" if settings["use_fallback"] else "matrices"
            part = f"{part}_{kind}".removeprefix("_")
        if name not in decayed:
            part += "_no_decay"
            settings["weight_decay"] = 0.0
        found.setdefault(part, Group([], {"name": part, **settings})).names.append(name)
    return list(found.values())


def parameter_groups(
    module: nn.Module,
    decayed: Collection[str],
    rates: Rates | None = None,
    matrices: Collection[str] | None = None,
) -> list[dict[str, Any]]:
    """`grouped`, as an optimizer takes them."""
    of = {clean(name): p for name, p in module.named_parameters()}
    return [
        {"params": [of[name] for name in names], **settings}
        for names, settings in grouped(module, decayed, rates, matrices)
    ]


def clean(name: str) -> str:
    """The name of a parameter without what wrappers add to it."""
    for wrapper in _WRAPPERS:
        name = name.replace(wrapper, "")
    return name
