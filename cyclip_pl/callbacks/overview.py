"""What is trained, on what, with which data: three lines before the first step."""

from __future__ import annotations

import math
from typing import Any

import lightning as L
import torch
from torch import nn

from cyclip_pl.provenance import device_name


class Overview(L.Callback):
    """Prints the device and precision, the parameters, and the data of the run."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.is_global_zero:
            print(*lines(trainer, pl_module), sep="\n", flush=True)


def lines(trainer: L.Trainer, module: L.LightningModule) -> list[str]:
    """The three lines, at the start of the training."""
    return [_device(trainer), _model(module), _data(trainer)]


def _device(trainer: L.Trainer) -> str:
    name = device_name(trainer.strategy.root_device)
    threads = f", {torch.get_num_threads()} threads"
    many = f"{trainer.world_size} x " if trainer.world_size > 1 else ""
    on_cpu = trainer.strategy.root_device.type == "cpu"
    return f"device: {many}{name}{threads if on_cpu else ''}, precision {trainer.precision}"


def _model(module: Any) -> str:
    image = getattr(getattr(module.encoder, "model", None), "visual", None)
    counts = {"encoder": _count(module.encoder), "projector": _count(module.projector)}
    if image is not None:
        counts = {"image": _count(image), "text": counts["encoder"] - _count(image), **counts}
        del counts["encoder"]
    shown = ", ".join(f"{name} {_short(n)}" for name, n in counts.items() if n)
    frozen = sum(p.numel() for p in module.parameters() if not p.requires_grad)
    kept = f", {_short(frozen)} of them frozen" if frozen else ""
    return f"model: {_short(_count(module))} parameters ({shown}){kept}"


def _data(trainer: Any) -> str:
    data = trainer.datamodule
    if getattr(data, "epochs", None) is None:  # a user's own
        return f"data: {type(data).__name__}"
    samples, ranks = data.epochs.length(), data.ranks
    batch = data.batch_size * ranks
    epochs = data.epochs.batches(ranks)
    total = trainer.estimated_stepping_batches
    end = "" if math.isinf(total) else f", {int(total):,} steps in all"
    at = f", from step {trainer.global_step:,}" if trainer.global_step else ""
    return f"data: {samples:,} samples, {epochs:,} steps of {batch:,} per epoch{end}{at}"


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _short(count: int) -> str:
    for size, unit in ((10**9, " G"), (10**6, " M"), (10**3, " k")):
        if count >= size:
            return f"{count / size:.3g}{unit}"
    return str(count)
