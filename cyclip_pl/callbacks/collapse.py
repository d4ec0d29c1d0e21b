"""Warn when clusters have collapsed, which accuracy and loss alone hide."""

from __future__ import annotations

import logging
from typing import Any

import lightning as L

from cyclip_pl import checks
from cyclip_pl.callbacks.cadence import is_logged

logger = logging.getLogger(__name__)

METRIC = "cluster_information"


class WarnOfCollapse(L.Callback):
    """Watches `cluster_information`, H(p̄) − H(p), of each objective that logs it.

    It is the information in nats that a cluster carries about its sample. It goes to zero both if
    all samples share one cluster and if each sample is spread over all clusters.

    Args:
        least: Nats below which a logged value is low.
        patience: Number of low values in a row before the warning.
    """

    def __init__(self, least: float = 0.05, patience: int = 10) -> None:
        checks.whole("callbacks.collapse.patience", patience)
        self.least = least
        self.patience = patience
        self._low: dict[str, int] = {}

    def on_train_batch_end(self, trainer: L.Trainer, *unused: Any) -> None:
        if not is_logged(trainer):
            return
        for name, value in trainer.callback_metrics.items():
            if name.rpartition("/")[2] != METRIC:
                continue
            self._low[name] = self._low.get(name, 0) + 1 if value.item() < self.least else 0
            if self._low[name] == self.patience and trainer.is_global_zero:
                logger.warning(
                    "%s is %.3f nats at step %d: the clusters carry no information about their"
                    " samples (collapsed); raise lambda_sharpness (below 1) and lambda_smoothness,"
                    " or projector.temperature",
                    name,
                    value.item(),
                    trainer.global_step,
                )
