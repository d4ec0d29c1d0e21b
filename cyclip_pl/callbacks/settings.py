"""What a run is, for its loggers: all settings and what made it."""

from __future__ import annotations

from typing import Any

import lightning as L
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.plugins.hparams.summary_v2 import hparams_pb

from cyclip_pl.checkpoints.resume import leaves


class Settings(L.Callback):
    """Gives each logger the resolved config and the provenance, when the run begins.

    `csv` keeps none of it, since `config.yaml` and `provenance.json` stand beside its file.
    """

    def on_fit_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        if not trainer.is_global_zero:
            return
        about = {**(pl_module.config or {}), "provenance": pl_module.provenance or {}}
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                _tell_tensorboard(logger, about, trainer.global_step)
            else:
                logger.log_hyperparams(about)


def _tell_tensorboard(logger: TensorBoardLogger, about: dict[str, Any], step: int) -> None:
    """The start of a session of its HParams page, which then shows the run's scalars beside it.

    Lightning's own logger names metrics as well, before there are any: then the page shows those
    alone.
    """
    plain = {
        name: value if isinstance(value, bool | int | float | str) else str(value)
        for name, value in leaves(about).items()
    }
    logger.experiment.file_writer.add_summary(hparams_pb(plain), step)
