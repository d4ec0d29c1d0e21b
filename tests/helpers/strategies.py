"""A module's steps under any strategy, through Lightning's own loop."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader

from cyclip_pl import distributed
from cyclip_pl.module import ContrastiveModule
from cyclip_pl.sharding import gathered
from cyclip_pl.strategy import FullySharded
from cyclip_pl.types import Batch


class Trained(NamedTuple):
    """What the steps were: their terms and norms, and the weights after them."""

    steps: list[dict[str, float]]
    weights: dict[str, Tensor]


class _Watched(L.Callback):
    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, *unused: Any) -> None:
        norm = trainer.callback_metrics["train/gradient_norm"]
        self.steps.append(
            {name: x.item() for name, x in {**pl_module._terms, "gradient_norm": norm}.items()}
        )


def strategy(name: str, **settings: Any) -> Any:
    """`auto`, `ddp` or `fsdp`, over gloo."""
    if name == "auto":
        return "auto"
    kind = {"ddp": DDPStrategy, "fsdp": FullySharded}[name]
    return kind(process_group_backend="gloo", **settings)


@contextmanager
def as_torchrun() -> Iterator[None]:
    """Inside, a rank of `run_distributed` is to Lightning one that torchrun has started."""
    rank, ranks = str(distributed.rank()), str(distributed.world_size())
    named = {"RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": "0", "WORLD_SIZE": ranks}
    named |= {"LOCAL_WORLD_SIZE": ranks, "TORCHELASTIC_RUN_ID": "test"}
    os.environ |= {**named, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    try:
        yield
    finally:
        for name in (*named, "MASTER_ADDR", "MASTER_PORT"):
            del os.environ[name]


def trained(
    module: ContrastiveModule,
    batches: Sequence[Batch],
    name: str = "auto",
    clip: float | None = 1.0,
    folder: Path | None = None,
    callbacks: Sequence[L.Callback] = (),
    resume: Path | None = None,
    **settings: Any,
) -> Trained:
    """Train a module on batches, each rank on its share of them."""
    ranks, watched = distributed.world_size(), _Watched()
    shares = [batch.split(len(batch) // ranks)[distributed.rank()] for batch in batches]
    trainer = L.Trainer(
        accelerator="cpu",
        devices=ranks,
        strategy=strategy(name, **settings),
        precision="32-true",  # leaves a module in float64 as it is
        max_steps=len(shares),
        gradient_clip_val=clip,
        callbacks=[watched, *callbacks],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    trainer.fit(module, DataLoader(shares, batch_size=None), ckpt_path=resume)
    weights = {n: gathered(x).clone() for n, x in module.state_dict().items()}
    return Trained(watched.steps, weights)


def remember(module: nn.Module) -> None:
    """Let each BatchNorm normalise by what it remembers: ranks have other batches than one."""
    for norm in module.modules():
        if isinstance(norm, _BatchNorm):
            norm.eval()
