"""The LightningModule: wiring only."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import lightning as L
import torch
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from torch import Tensor
from torch.optim import Optimizer

from cyclip_pl import checks
from cyclip_pl.checkpoints.files import FORMAT
from cyclip_pl.encoders.dual import DualEncoder
from cyclip_pl.guard import StepGuard
from cyclip_pl.microbatch import embed_in_microbatches
from cyclip_pl.models.embedding import EmbeddingModel
from cyclip_pl.objectives.base import Objective
from cyclip_pl.optimization.making import build, for_rates
from cyclip_pl.optimization.rates import Rates
from cyclip_pl.optimization.resuming import Resumable
from cyclip_pl.optimizer_layout import keep_layout
from cyclip_pl.projectors.base import Projector
from cyclip_pl.sharding import clip_gradients, is_sharded
from cyclip_pl.strategy import FullySharded
from cyclip_pl.types import Batch, Embeddings


class ContrastiveModule(L.LightningModule):
    """Batch → encoder → projector → objective → named terms → optimiser.

    Args:
        encoder, projector, objective: The three exchangeable parts.
        optimizer: Parameter groups → optimiser.
        scheduler: (optimiser, total steps) → a schedule that advances every step.
        config: What all of these were made from, in plain containers; stored in checkpoints.
        microbatch: Samples per pass, 1 or more, whose activations are held at a time; None for all.
        rates: Factors of the learning rate for parts of the model; None: 1 for all.
    """

    def __init__(
        self,
        encoder: DualEncoder,
        projector: Projector,
        objective: Objective,
        optimizer: Callable[..., Optimizer],
        scheduler: Callable[..., Any],
        config: dict[str, Any] | None = None,
        microbatch: int | None = None,
        rates: Rates | None = None,
    ) -> None:
        super().__init__()
        checks.whole("microbatch", microbatch, optional=True)
        self.encoder = encoder
        self.projector = projector
        self.objective = objective
        self.make_optimizer = optimizer
        self.make_scheduler = scheduler
        self.config = config
        # What makes this run, in plain containers; travels in checkpoints.
        self.provenance: dict[str, Any] | None = None
        self.microbatch = microbatch
        self.rates = rates or Rates()
        # Of the last step: names and values of the loss terms and of the gradient norm.
        self.observed: tuple[list[str], Tensor]
        self._terms: dict[str, Tensor]

    def setup(self, stage: str) -> None:
        if stage != "fit":
            return
        accumulated, strategy = self.trainer.accumulate_grad_batches, self.trainer.strategy
        if accumulated != 1:
            raise ValueError(
                f"trainer.accumulate_grad_batches={accumulated}: small batches added up are not"
                " one large batch, whose samples are each other's negatives;"
                " set data.batch_size=LARGE microbatch=SMALL instead"
            )
        if self.config and self.trainer.world_size * self.config["data"]["batch_size"] == 1:
            raise ValueError(
                "data.batch_size=1: an objective compares the samples of a batch, and there is one;"
                " set data.batch_size=2 or more"
            )
        if not isinstance(strategy, SingleDeviceStrategy | DDPStrategy | FullySharded):
            raise ValueError(
                f"trainer.strategy={type(strategy).__name__}: does not give the numbers of one"
                " process; set trainer=default, ddp or fsdp"
            )
        clip = self.trainer.gradient_clip_algorithm
        name = clip and clip.value
        checks.one_of("trainer.gradient_clip_algorithm", name, ["norm"], optional=True)

    def configure_model(self) -> None:
        strategy = self.trainer.strategy
        if isinstance(strategy, FullySharded) and not is_sharded(self):
            strategy.shard(self)

    def embed(self, batch: Batch) -> Embeddings:
        """Images and tokens → the embeddings that the objective sees."""
        if self.microbatch is None or len(batch) <= self.microbatch:
            rows = self._embed(batch)
        else:
            parts = [self.encoder, self.projector]
            rows = embed_in_microbatches(self._embed, parts, batch, self.microbatch)
        return replace(rows, caption_ids=batch.caption_ids)

    def _embed(self, batch: Batch) -> Embeddings:
        return self.projector(self.encoder(batch), batch.augmentation)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        self.guard.before()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        terms = self.objective(self.embed(batch))
        self._terms = {name: value.detach() for name, value in terms.items()}
        for name, value in {**terms, **self.objective.scalars()}.items():
            self.log(f"train/{name}", value.detach(), batch_size=len(batch))
        return terms["total"]

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip by global norm, log that norm, and let a step that is not finite change nothing."""
        norm = clip_gradients(self.parameters(), gradient_clip_val or math.inf)
        self.log("train/gradient_norm", norm)
        values = {**self._terms, "gradient_norm": norm}
        self.observed = list(values), torch.stack([value.float() for value in values.values()])
        self.guard.judge(self.observed[1])

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        self.objective.clamp_()

    def configure_optimizers(self) -> Any:
        optimizer = build(self.make_optimizer, self, self.rates)
        self.guard = StepGuard(self, optimizer)
        # A fused optimiser would unscale fp16 gradients itself, but after they are clipped.
        optimizer._step_supports_amp_scaling = False  # type: ignore[attr-defined]
        keep_layout(optimizer)
        total = self.trainer.estimated_stepping_batches
        schedule = Resumable(lambda one: self.make_scheduler(one, total), optimizer)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the optimizer's state in the order of this run's parameter groups."""
        for_rates(checkpoint, self.make_optimizer, self, self.rates)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["format"] = FORMAT
        checkpoint["config"] = self.config
        checkpoint["provenance"] = self.provenance
        # An average of the weights has scalars of its own.
        checkpoint.setdefault("scale", self.scale)
        checkpoint.setdefault("bias", self.bias)

    def as_model(self) -> EmbeddingModel:
        """The encoder and projector as evaluations see them; shared, not copied."""
        return EmbeddingModel(self.encoder, self.projector, self.scale, self.bias)

    @property
    def scale(self) -> float:
        """Multiplier of the image-text similarities, 1 if the objective has none."""
        scale = self.objective.scalars().get("scale")
        return 1.0 if scale is None else scale.item()

    @property
    def bias(self) -> float | None:
        """Of the scaled similarities, None if the objective has none."""
        bias = self.objective.scalars().get("bias")
        return None if bias is None else bias.item()
