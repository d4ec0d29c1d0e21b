"""Optimizers and schedules from their settings, with errors that name these."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from cyclip_pl import sharding
from cyclip_pl.files import reason
from cyclip_pl.optimization.groups import grouped, parameter_groups
from cyclip_pl.optimization.muon import Muon
from cyclip_pl.optimization.rates import Rates, of_encoder
from cyclip_pl.optimization.resuming import regrouped
from cyclip_pl.optimization.timm_optimizer import timm_class

# What schedules call the number of steps of the whole run.
_TOTAL = ("total_steps", "T_max")


class Maker:
    """`make`, whose errors name the setting.

    Attributes:
        matrices_apart: Whether the optimizer treats hidden matrices by themselves.
        convolutions: Channels up to which it treats convolutions as matrices.

    Raises:
        ValueError: Now, for settings that the optimizer does not take; when it is called, for
            parameter groups that it cannot use.
    """

    def __init__(self, make: partial[Optimizer]) -> None:
        self.make = make
        self.where = f"optimizer._target_={_path(make)}"
        _check_known(make, "optimizer")
        self.matrices_apart = _treats_matrices(make)
        self.convolutions = make.keywords.get("convolutions", 0)

    def __call__(self, groups: list[dict[str, Any]]) -> Optimizer:
        try:
            return self.make(groups)
        except (TypeError, ValueError) as error:
            if str(error).startswith("optimizer"):  # names the setting already
                raise
            raise ValueError(f"{self.where}: {error}") from error


def build(
    make: Callable[..., Optimizer],
    module: nn.Module,
    rates: Rates | None = None,
) -> Optimizer:
    """The optimizer of a module, each group with its share of the learning rate."""
    groups = parameter_groups(module, rates, matrices_of(make, module))
    if sharding.is_sharded(module):
        _try_sharded(make, groups)
    optimizer = make(groups)
    for group in optimizer.param_groups:
        group["lr"] *= group.get("lr_scale", 1.0)
    return optimizer


def _try_sharded(make: Callable[..., Optimizer], groups: list[dict[str, Any]]) -> None:
    """A step on copies of the smallest parameters: many optimizers cannot make one on shards."""
    copies = []
    for group in groups:
        smallest = {p.ndim: p for p in sorted(group["params"], key=lambda p: -p.numel())}
        copies.append({**group, "params": [p.detach().clone() for p in smallest.values()]})
    for p in (p for group in copies for p in group["params"]):
        p.grad = torch.zeros_like(p)
    optimizer = make([group for group in copies if group["params"]])
    try:
        optimizer.step()
    except Exception as error:  # torch raises several types
        fused = ", optimizer.fused=false" if optimizer.defaults.get("fused") else ""
        raise ValueError(
            f"{getattr(make, 'where', 'optimizer')}: cannot make a step on sharded parameters"
            f" ({reason(error)[:80]}…); set trainer=ddp{fused}, or another optimizer"
        ) from error


def for_rates(
    checkpoint: dict[str, Any],
    make: Callable[..., Optimizer],
    module: nn.Module,
    rates: Rates,
) -> None:
    """Let a checkpoint's optimizer state stand in the order of these rates' groups.

    Raises:
        ValueError: Its groups are not those that its rates make here.
    """
    if "optimizer_states" not in checkpoint:
        return
    was = Rates(**(checkpoint.get("config") or {}).get("rates", {}))
    matrices = matrices_of(make, module)
    old, new = (grouped(module, one, matrices) for one in (was, rates))
    states = checkpoint["optimizer_states"]
    sizes = [[len(group["params"]) for group in state["param_groups"]] for state in states]
    if any(found != [len(group.names) for group in old] for found in sizes):
        raise ValueError(
            "resume: the optimizer's state in the checkpoint has other parameter groups than this"
            " version makes; go on with the version that its provenance.json names"
        )
    if was != rates:
        checkpoint["optimizer_states"] = [regrouped(state, old, new) for state in states]


def matrices_of(make: Callable[..., Optimizer], module: nn.Module) -> Collection[str] | None:
    """Names of the hidden matrices, if the optimizer treats them by themselves."""
    if not getattr(make, "matrices_apart", False):
        return None
    names = set(of_encoder(module, "hidden_matrices", "optimizer=muon"))
    if most := getattr(make, "convolutions", 0):
        channels = of_encoder(module, "convolutions", "optimizer.convolutions")
        names |= {name for name, count in channels.items() if count <= most}
    return {f"encoder.{name}" for name in names}


def named_schedule(make: partial[LRScheduler]) -> Callable[[Optimizer, float], LRScheduler]:
    """`make` of an optimizer and the steps of the whole run, with errors that name the setting.

    Raises:
        ValueError: Now, for settings that the schedule does not take; when it is called, for a run
            without an end.
    """
    where = f"scheduler._target_={_path(make)}"
    _check_known(make, "scheduler")
    taken = inspect.signature(make.func).parameters.keys() - make.keywords.keys()
    total_names = [name for name in _TOTAL if name in taken]

    def made(optimizer: Optimizer, total_steps: float) -> LRScheduler:
        if total_names and not 1 <= total_steps < math.inf:
            raise ValueError(f"{where}: the run has no end; set trainer.max_steps")
        try:
            return make(optimizer, **dict.fromkeys(total_names, total_steps))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{where}: {error}") from error

    return made


def _path(make: partial[Any]) -> str:
    return f"{make.func.__module__}.{make.func.__qualname__}"


def _check_known(make: partial[Any], group: str) -> None:
    known = inspect.signature(make.func).parameters
    unknown = [name for name in make.keywords if name not in known]
    if unknown and not any(p.kind is p.VAR_KEYWORD for p in known.values()):
        rest = " ".join(f"~{group}.{name}" for name in unknown)
        where = f"{group}._target_={_path(make)}"
        raise ValueError(f"{where}: does not take {', '.join(unknown)}; add {rest}")


def _treats_matrices(make: partial[Optimizer]) -> bool:
    import timm.optim

    kind: Any = timm_class(make.keywords["name"]) if "name" in make.keywords else make.func
    return isinstance(kind, type) and issubclass(kind, (Muon, timm.optim.Muon))
