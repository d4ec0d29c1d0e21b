"""Going on inside an epoch: the place of the loops, and every rank's random numbers."""

from __future__ import annotations

import random
from typing import Any

import lightning as L
import numpy as np
import torch

from cyclip_pl.distributed import objects_of_all, rank

RandomState = dict[str, Any]


class Resume(L.Callback):
    """Lets a resumed run make the steps that an uninterrupted one would have made.

    It notes the random state behind each step, before evaluations and other callbacks, and saves
    that of the last step. The data's own state tells where in which epoch the run stands; Lightning
    takes an epoch that `max_steps` cut short for a whole one.
    """

    def __init__(self) -> None:
        self._random: RandomState | None = None
        self._loaded: RandomState | None = None

    def on_train_batch_start(self, trainer: L.Trainer, *unused: Any) -> None:
        # As late as possible: what comes before may draw numbers too.
        if self._loaded is not None:
            set_random_state(self._loaded, trainer.strategy.root_device)
            self._loaded = None

    def on_train_batch_end(self, trainer: L.Trainer, *unused: Any) -> None:
        self._random = random_state(trainer.strategy.root_device)

    def state_dict(self) -> dict[str, Any]:
        return {"random": objects_of_all(self._random)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        states = state_dict["random"]
        # Ranks that the saved run did not have share the numbers of those that it had.
        self._random = self._loaded = states[rank() % len(states)]

    def on_load_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        loop = checkpoint["loops"]["fit_loop"]
        (position,) = loop["state_dict"]["combined_loader"]
        epoch, batch = data.place(position)
        begun = epoch + (batch > 0)
        for progress in loop["epoch_progress"].values():
            progress.update(ready=begun, started=begun, processed=epoch, completed=epoch)
        batches = loop["epoch_loop.batch_progress"]
        steps = batches["total"]["processed"]
        batches["total"] = dict.fromkeys(batches["total"], steps)
        batches["current"] = dict.fromkeys(batches["current"], batch)
        batches["is_last_batch"] = False
        loop["epoch_loop.state_dict"]["_batches_that_stepped"] = steps


def random_state(device: torch.device) -> RandomState:
    """What torch, its `device`, numpy and Python draw from, in types that are safe to unpickle."""
    of_numpy: Any = np.random.get_state()  # typed as either of its two forms
    name, keys, *rest = of_numpy
    return {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(keys.astype(np.int64)), *rest),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
    }


def set_random_state(state: RandomState, device: torch.device) -> None:
    """Draw on from `state`, as `random_state` returned it."""
    name, keys, *rest = state["numpy"]
    random.setstate(state["python"])
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if device.type == "cuda" and state["cuda"] is not None:
        torch.cuda.set_rng_state(state["cuda"], device)
