"""The validation loss: the objective's terms on held-out pairs."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from cyclip_pl.callbacks.measuring import Cadence, Measuring
from cyclip_pl.data.settings import ValSource
from cyclip_pl.data.skipped import in_words
from cyclip_pl.distributed import gather, objects_of_all, overwrite_with_first
from cyclip_pl.types import Batch, Embeddings

logger = logging.getLogger(__name__)

VAL = "val"


class Validation(Measuring):
    """Gives `val/total` and the objective's other terms, as means over the held-out batches.

    A batch is the same samples in the same order on any number of ranks. Samples that cannot be
    used are left out, and those behind them move up; the last incomplete batch is left out too.

    Args:
        source: When, and the size of a batch; the samples are the data module's `held_out`.

    Raises:
        ValueError: While it runs, if there are not enough usable samples for one batch.
    """

    def __init__(self, source: ValSource) -> None:
        cadence = Cadence(source.every_n_epochs, source.every_n_steps)
        super().__init__({} if source.shards is None else {VAL: cadence})
        self.size = source.batch_size
        self._told = False

    def measure(
        self, trainer: Trainer, pl_module: LightningModule, names: Sequence[str]
    ) -> dict[str, float]:
        module: Any = pl_module
        with trainer.precision_plugin.forward_context():
            terms = [module.objective(batch) for batch in self._batches(trainer, module)]
        values = torch.stack([torch.stack(list(one.values())) for one in terms])
        # Ranks may differ in rounding, and they must decide alike.
        overwrite_with_first(values)
        means = values.cpu().double().mean(0).tolist()
        return {f"{VAL}/{name}": mean for name, mean in zip(terms[0], means, strict=True)}

    def _batches(self, trainer: Any, module: Any) -> Iterator[Embeddings]:
        """This rank's part of each global batch."""
        part = self.size // trainer.world_size
        own = slice(trainer.global_rank * part, (trainer.global_rank + 1) * part)
        loader, lost, given = trainer.datamodule.held_out, Counter[str](), 0
        left = loader.batches.epochs.length()
        waiting: Embeddings | None = None  # of all ranks: usable rows of no batch yet
        try:
            for batch in loader:
                lost.update(batch.skipped)
                rows = _usable(module.embed(_moved(trainer, batch)), batch.keys)
                waiting = rows if waiting is None else _joined(waiting, rows)
                if waiting.image.shape[1] >= self.size:
                    yield _each(waiting, lambda x: x[:, own].contiguous())
                    waiting, given = _each(waiting, lambda x: x[:, self.size :]), given + 1
                left -= self.size
                if waiting.image.shape[1] + left < self.size:
                    break
        finally:
            loader.close()
        self._tell(trainer, lost, given)

    def _tell(self, trainer: Trainer, lost: Counter[str], given: int) -> None:
        """Once, what is left out; every rank must call it."""
        if self._told:
            return
        self._told = True
        causes = sum(objects_of_all(lost), Counter[str]())
        if not given:
            raise ValueError(
                f"data.val.batch_size={self.size}: data.val.shards have fewer usable samples"
                f" (left out: {in_words(causes)}); mend the shards, or lower it"
            )
        if causes and trainer.is_global_zero:
            logger.warning("data.val.shards: left out: %s", in_words(causes))


def _moved(trainer: Trainer, batch: Batch) -> Batch:
    """On the device and in the precision of the training, as Lightning prepares its batches."""
    converted: Batch = trainer.precision_plugin.convert_input(batch)
    moved: Batch = trainer.strategy.batch_to_device(converted)
    return moved


def _usable(rows: Embeddings, keys: list[str]) -> Embeddings:
    """The rows of all ranks, in order, without the blank ones."""
    named = torch.tensor([float(key != "") for key in keys], device=rows.image.device)
    kept = gather(named) > 0
    return _each(rows, lambda x: gather(x.transpose(0, 1))[kept].transpose(0, 1))


def _joined(first: Embeddings, second: Embeddings) -> Embeddings:
    behind = iter(x for x in vars(second).values() if x is not None)
    return _each(first, lambda x: torch.cat([x, next(behind)], dim=1))


def _each(rows: Embeddings, change: Callable[[Tensor], Tensor]) -> Embeddings:
    heads: dict[str, Any] = {name: x if x is None else change(x) for name, x in vars(rows).items()}
    return Embeddings(**heads)
