"""The resolved config travels in every checkpoint and lies in the run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
from omegaconf import OmegaConf


class SaveConfig(L.Callback):
    """Writes `config.yaml` beside the run and `config` into its checkpoints.

    Args:
        config: the resolved config, plain containers only, so that a checkpoint can be read
            without unpickling anything else.
    """

    def __init__(self, config: Any) -> None:
        self.config = config

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if trainer.is_global_zero:
            OmegaConf.save(
                OmegaConf.create(self.config), Path(self.config["run_dir"]) / "config.yaml"
            )

    def on_save_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint["config"] = self.config
