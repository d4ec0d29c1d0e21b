"""Stop the run when its loss or gradients become NaN or infinite."""

from __future__ import annotations

import math
from typing import Any

import lightning as L
import torch
from torch import Tensor

from cyclip_pl import checks
from cyclip_pl.callbacks.cadence import is_logged
from cyclip_pl.types import Batch

NONFINITE = "train/nonfinite_steps"
SCALER_TRIES = 40  # float16's loss scale halves at each; from its 2¹⁶ nothing is left by then

MOST_UNSEEN = 1000  # steps; bounds the memory where logged steps are far apart


class StopWhenNotFinite(L.Callback):
    """Counts the steps that were not finite and so changed nothing, and stops the run at too many.

    It looks at the steps that are logged, before each checkpoint and at the end, so that other
    steps do not wait for the device. With float16 a step whose gradients alone overflow belongs to
    the search for the loss scale: it counts only if the search does not end.

    Args:
        skip: Number of such steps that the run may have, over all its resumptions.

    Attributes:
        steps: Number of such steps so far.

    Raises:
        ValueError: One more step than `skip` was not finite; names the step, the terms, the first
            samples and what to change.
    """

    def __init__(self, skip: int = 0) -> None:
        checks.whole("callbacks.finite.skip", skip, least=0)
        self.skip = skip
        self.steps = 0
        self._scaled = False
        self._overflows = 0
        # Steps that were not looked at: their numbers, samples, names of values, and values.
        self._unseen: list[tuple[int, list[str], list[str], Tensor]] = []

    def on_train_start(self, trainer: L.Trainer, *unused: Any) -> None:
        self._scaled = getattr(trainer.precision_plugin, "scaler", None) is not None

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Batch, *unused: Any
    ) -> None:
        self._unseen.append((trainer.global_step, batch.keys, *pl_module.observed))
        if is_logged(trainer) or len(self._unseen) == MOST_UNSEEN:
            self._look()
        if is_logged(trainer) and self.skip:
            pl_module.log(NONFINITE, float(self.steps), batch_size=1)

    def on_train_end(self, *unused: Any) -> None:
        self._look()

    def state_dict(self) -> dict[str, Any]:
        # Lightning asks for it before it writes a checkpoint.
        self._look()
        return {"steps": self.steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.steps = state_dict["steps"]

    def _look(self) -> None:
        unseen, self._unseen = self._unseen, []
        if not unseen:
            return
        rows = torch.stack([values for *_, values in unseen]).tolist()
        for (step, keys, names, _), row in zip(unseen, rows, strict=True):
            bad = [n for n, value in zip(names, row, strict=True) if not math.isfinite(value)]
            overflow = self._scaled and bad == ["gradient_norm"]
            self._overflows = self._overflows + 1 if overflow else 0
            if bad and (not overflow or self._overflows > SCALER_TRIES):
                self.steps += 1
                if self.steps > self.skip:
                    raise ValueError(self._message(step, bad, keys))

    def _message(self, step: int, bad: list[str], keys: list[str]) -> str:
        more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
        samples = f" with the samples {', '.join(keys[:3])}{more}" if keys else ""
        after = f" after {self.skip} skipped steps" if self.skip else ""
        verb = "is" if len(bad) == 1 else "are"
        return (
            f"step {step}: {', '.join(bad)} {verb} not finite{samples}{after}; lower optimizer.lr,"
            " raise scheduler.warmup_steps, set trainer.precision=32-true, or allow such steps by"
            f" callbacks.finite.skip={max(10, 2 * self.skip)}"
        )
