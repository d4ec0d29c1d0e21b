"""Which parameters decay, and how the learning rate moves."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

# What wrappers add to the names of parameters.
_WRAPPERS = ("_fsdp_wrapped_module.", "_checkpoint_wrapped_module.", "_orig_mod.")


def decayed_names(module: nn.Module) -> set[str]:
    """Names of the parameters that decay: the weights of linear maps and convolutions.

    Norms, biases and learnable scalars have fewer than two dimensions and do not decay.
    """
    return {_clean(name) for name, p in module.named_parameters() if p.ndim >= 2}


def parameter_groups(module: nn.Module, decayed: Collection[str]) -> list[dict[str, Any]]:
    """The trainable parameters in two groups: with the optimiser's weight decay, and without."""
    learning = [(_clean(n), p) for n, p in module.named_parameters() if p.requires_grad]
    return [
        {"params": [p for n, p in learning if n in decayed]},
        {"params": [p for n, p in learning if n not in decayed], "weight_decay": 0.0},
    ]


def _clean(name: str) -> str:
    for wrapper in _WRAPPERS:
        name = name.replace(wrapper, "")
    return name


def named(make: partial[Optimizer]) -> Callable[..., Optimizer]:
    """`make`, whose errors name the setting.

    Raises:
        ValueError: Now, for settings that the optimizer does not take; when it is called, for
            parameter groups that it cannot use.
    """
    where = f"optimizer._target_={make.func.__module__}.{make.func.__qualname__}"
    known = inspect.signature(make.func).parameters
    unknown = [name for name in make.keywords if name not in known]
    if unknown and not any(p.kind is p.VAR_KEYWORD for p in known.values()):
        rest = " ".join(f"~optimizer.{name}" for name in unknown)
        raise ValueError(f"{where}: does not take {', '.join(unknown)}; add {rest}")

    def made(groups: list[dict[str, Any]]) -> Optimizer:
        try:
            return make(groups)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{where}: {error}") from error

    return made


def keep_settings(optimizer: Optimizer) -> None:
    """Let the optimiser take a checkpoint's state, but not its learning rate, betas and the like.

    Call it when the settings of the parameter groups are complete.
    """
    own = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]

    def restore(optimizer: Optimizer) -> None:
        for group, settings in zip(optimizer.param_groups, own, strict=True):
            # Where nothing else is typed, the rate is where the schedule left it.
            moved = settings.get("initial_lr") == group.get("initial_lr")
            group.update({**settings, "lr": group["lr"]} if moved else settings)

    optimizer.register_load_state_dict_post_hook(restore)


class Schedule(LambdaLR):
    """A `LambdaLR` that takes the step of a checkpoint, but not its learning rates."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.last_epoch = state_dict["last_epoch"]
        self._step_count = state_dict["_step_count"]
        self._last_lr = [
            lr * of_step(self.last_epoch)
            for lr, of_step in zip(self.base_lrs, self.lr_lambdas, strict=True)
        ]
        for group, lr in zip(self.optimizer.param_groups, self._last_lr, strict=True):
            group["lr"] = lr


def cosine(
    optimizer: Optimizer, total_steps: float, warmup_steps: int, final_fraction: float = 0.0
) -> Schedule:
    """Linear warm-up, then half a cosine down to `final_fraction` of the learning rate.

    Step k of the warm-up runs at (k + 1) / warmup_steps of the rate, so that the first step learns.

    Args:
        total_steps, warmup_steps: Optimiser steps of the whole run and of the warm-up.
        final_fraction: Share of the learning rate that is left at the end.

    Raises:
        ValueError: The run has no known end.
    """
    if not 1 <= total_steps < math.inf:
        raise ValueError("scheduler=cosine: the run has no end; set trainer.max_steps")

    def fraction(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        done = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
        return final_fraction + (1 - final_fraction) * 0.5 * (1 + math.cos(math.pi * done))

    return Schedule(optimizer, fraction)
