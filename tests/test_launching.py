"""Where an evaluation computes: one process on a CPU needs nobody to choose."""

from __future__ import annotations

import sys

import pytest
import torch

from cyclip_pl.launching import launched


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize("devices", [1, "1"])
def test_one_process_on_the_cpu_is_the_first(alone, devices) -> None:
    alone.setitem(sys.modules, "lightning", None)  # so that importing it would be an error
    assert launched("cpu", devices) == (torch.device("cpu"), True)


@pytest.mark.parametrize("accelerator", ["cpu", "auto"])
def test_the_device_is_lightnings(alone, accelerator) -> None:
    lightning = pytest.importorskip("lightning")
    device, first = launched(accelerator, 1)
    assert device == lightning.Fabric(accelerator=accelerator, devices=1).device and first


@pytest.mark.parametrize("name", ["LOCAL_RANK", "SLURM_NTASKS"])
def test_a_launchers_process_asks_lightning(alone, name) -> None:
    alone.setenv(name, "0")
    alone.setitem(sys.modules, "lightning", None)
    with pytest.raises(ImportError):
        launched("cpu", 1)
