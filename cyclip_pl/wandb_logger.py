"""Weights & Biases, whose run ends with the training."""

from __future__ import annotations

from lightning.pytorch import loggers
from lightning.pytorch.utilities import rank_zero_only


class WandbLogger(loggers.WandbLogger):
    """Lightning's, which leaves its run open: the next job of a sweep would log into it."""

    @rank_zero_only
    def finalize(self, status: str) -> None:
        super().finalize(status)
        # A run that somebody has opened before, in a notebook, is theirs to end.
        if self._experiment is not None and self._experiment.id == self._id:
            self._experiment.finish(exit_code=int(status != "success"))
            self._experiment = None
