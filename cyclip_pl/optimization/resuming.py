"""A resumed run takes a checkpoint's state, and never its settings."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

from cyclip_pl.optimization.groups import Group


class Resumable(LRScheduler):
    """Any schedule of the step alone, which takes from a checkpoint where it was, and no more.

    The learning rates are those of this run's settings at that step. So are all other settings of
    the parameter groups, such as betas and weight decay, which the optimizer has read before.

    Args:
        make: Optimizer → schedule.
        optimizer: Its groups complete.

    Raises:
        ValueError: A schedule that goes by a metric, or by rates of its own where parts of the
            model have factors.
    """

    def __init__(self, make: Callable[[Optimizer], LRScheduler], optimizer: Optimizer) -> None:
        self.make, self.optimizer = make, optimizer
        self._own = [{k: v for k, v in g.items() if k != "params"} for g in optimizer.param_groups]
        self.schedule = make(optimizer)
        self.last_epoch = 0
        name = type(self.schedule).__name__
        if isinstance(self.schedule, ReduceLROnPlateau):
            raise ValueError(
                f"scheduler._target_: {name} goes by a metric; set a schedule of steps, such as"
                " scheduler=wsd"
            )
        for group, own in zip(optimizer.param_groups, self._own, strict=True):
            if "lr_scale" in own and group["initial_lr"] != own["lr"]:
                raise ValueError(
                    f"scheduler._target_: {name} has learning rates of its own, and rates.* would"
                    " do nothing; set them to 1, or another scheduler"
                )

    @property
    def base_lrs(self) -> list[float]:  # type: ignore[override]
        return self.schedule.base_lrs  # type: ignore[return-value]

    def get_last_lr(self) -> list[Any]:
        return self.schedule.get_last_lr()

    def step(self, epoch: int | None = None) -> None:
        """To the rates of the next optimizer step."""
        self.schedule.step()
        self.last_epoch += 1

    def state_dict(self) -> dict[str, Any]:
        """The step alone."""
        return {"last_epoch": self.last_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Put back the settings of this run, and go to the checkpoint's step."""
        for group, own in zip(self.optimizer.param_groups, self._own, strict=True):
            group.pop("initial_lr", None)
            group.update(own)
        self.schedule = self.make(self.optimizer)
        self.last_epoch = state_dict["last_epoch"]
        steps = self.last_epoch
        if isinstance(self.schedule, LambdaLR) and steps:  # knows its rate at any step
            self.schedule.last_epoch = steps - 1
            steps = 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that no step of the optimizer came before
            for _ in range(steps):
                self.schedule.step()


def regrouped(state: dict[str, Any], was: list[Group], now: list[Group]) -> dict[str, Any]:
    """An optimizer's state dict for the groups of other rates, with the same parameters."""
    old = {
        name: (index, group, was_group)
        for group, was_group in zip(state["param_groups"], was, strict=True)
        for name, index in zip(was_group.names, group["params"], strict=True)
    }
    groups: list[dict[str, Any]] = []
    moments: dict[int, Any] = {}
    number = 0
    for names, settings in now:
        indices = []
        for name in names:
            if old[name][0] in state["state"]:
                moments[number] = state["state"][old[name][0]]
            indices.append(number)
            number += 1
        # What made it a group is of the old rates; counters that optimizers keep here stay.
        _, group, was_group = old[names[0]]
        kept = {k: v for k, v in group.items() if k not in was_group.settings}
        groups.append({**kept, **settings, "params": indices})
    return {"state": moments, "param_groups": groups}
