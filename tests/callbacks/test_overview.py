from __future__ import annotations

from types import SimpleNamespace as Of
from typing import Any

import pytest
import torch
from torch import nn

from cyclip_pl import provenance
from cyclip_pl.callbacks.overview import lines


def _trainer(**more: Any) -> Any:
    epochs = Of(length=lambda: 1234, batches=lambda ranks: 1234 // ranks // 8)
    return Of(
        strategy=Of(root_device=torch.device("cpu")),
        world_size=2,
        precision="32-true",
        datamodule=Of(epochs=epochs, ranks=2, batch_size=8),
        estimated_stepping_batches=5000,
        global_step=0,
        **more,
    )


def _module() -> Any:
    module: Any = nn.Module()
    module.encoder = nn.Module()
    module.encoder.model = nn.Module()
    module.encoder.model.visual = nn.Linear(1000, 10, bias=False)
    module.encoder.model.text = nn.Linear(100, 15, bias=False)
    module.projector, module.objective = nn.Identity(), nn.Linear(1, 1, bias=False)
    return module


def test_three_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "cpu_name", lambda: "a CPU")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert lines(_trainer(), _module()) == [
        "device: 2 x a CPU, 3 threads, precision 32-true",
        "model: 11.5 k parameters (image 10 k, text 1.5 k)",
        "data: 1,234 samples, 77 steps of 16 per epoch, 5,000 steps in all",
    ]


def test_what_is_frozen_and_where_it_goes_on() -> None:
    module, trainer = _module(), _trainer()
    module.encoder.model.visual.requires_grad_(False)
    trainer.global_step, trainer.estimated_stepping_batches = 70, float("inf")
    _, model, data = lines(trainer, module)
    assert model.endswith(", 10 k of them frozen")
    assert data == "data: 1,234 samples, 77 steps of 16 per epoch, from step 70"


def test_parts_of_a_users_own() -> None:
    module, trainer = _module(), _trainer()
    module.encoder, trainer.datamodule = nn.Linear(10, 10), Of()
    _, model, data = lines(trainer, module)
    assert model == "model: 111 parameters (encoder 110)"
    assert data == "data: SimpleNamespace"
