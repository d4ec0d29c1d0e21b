"""The module as evaluations during training see it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import lightning as L
from lightning.pytorch.utilities.seed import isolate_rng

from cyclip_pl.callbacks.ema import averaged
from cyclip_pl.distributed import overwrite_with_first
from cyclip_pl.evaluation.features.modes import evaluation_mode
from cyclip_pl.strategy import FullySharded


@contextmanager
def as_evaluated(trainer: L.Trainer, raw: bool = False) -> Iterator[None]:
    """Inside, the module is in evaluation mode with whole weights, averaged where the run averages.

    With `raw` they are those of the last step in any case.

    Afterwards modes, random state, weights and gradients are as before. All ranks enter it
    together; inside, a forward waits for no other rank. Leave it before an error is raised on:
    Lightning restores the random state where nothing is raised.
    """
    module, strategy = trainer.lightning_module, trainer.strategy
    whole = strategy.whole() if isinstance(strategy, FullySharded) else nullcontext()
    weights = nullcontext() if raw else averaged(trainer)
    with isolate_rng(), evaluation_mode(module), weights:
        # BatchNorm's statistics are each rank's own. Checkpoints have the first rank's, and so has
        # every rank from DDP's next step on.
        for buffer in module.buffers():
            overwrite_with_first(buffer)
        with whole:
            yield
