"""What a device computes in natively: `auto` takes it, and another choice is told."""

from __future__ import annotations

import logging
import platform

import pytest
import torch

from cyclip_pl.precision import precision, slow
from cyclip_pl.training import train
from tests.helpers.composed import composed
from tests.helpers.world import shrunk


@pytest.mark.parametrize(
    ("accelerator", "cuda", "gpu_bf16", "cpu_bf16", "expected"),
    [
        ("auto", True, True, False, "bf16-mixed"),
        ("gpu", True, False, False, "16-mixed"),
        ("cpu", True, True, False, "32-true"),
        ("auto", False, False, True, "bf16-mixed"),
        ("cpu", False, False, False, "32-true"),
    ],
)
def test_precision_is_what_the_device_computes_in(
    monkeypatch, accelerator, cuda, gpu_bf16, cpu_bf16, expected
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: gpu_bf16)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: cpu_bf16)
    trainer = composed(f"trainer.accelerator={accelerator}").trainer
    assert precision(trainer) == expected
    trainer.precision = "64-true"
    assert precision(trainer) == "64-true"


@pytest.mark.parametrize("asked", ["bf16-mixed", "bf16-true", "bf16"])
@pytest.mark.parametrize("machine", ["x86_64", "AMD64", "aarch64"])
@pytest.mark.parametrize("has", [True, False])
def test_bfloat16_on_a_processor(monkeypatch, asked, machine, has) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    told = slow(asked, torch.device("cpu"))
    if has or machine == "aarch64":
        assert told is None
    else:
        assert told and told.startswith(f"trainer.precision={asked}: ") and "bfloat16" in told
        assert told.endswith("; set trainer.precision=auto") and "\n" not in told


@pytest.mark.parametrize("has", [True, False])
def test_half_precision_on_a_gpu(monkeypatch, has) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: has)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "NVIDIA T4")
    told = slow("bf16-mixed", torch.device("cuda", 0))
    assert told is None if has else told and "NVIDIA T4" in told
    assert slow("16-mixed", torch.device("cuda", 0)) is None


def test_float16_on_a_processor_and_what_all_compute_in() -> None:
    for asked in ("16-mixed", "16-true", "16"):
        assert "float16" in (slow(asked, torch.device("cpu")) or "")
    for asked in ("32-true", "64-true", "32", "transformer-engine"):
        assert slow(asked, torch.device("cpu")) is None
    assert slow("bf16-mixed", torch.device("mps")) is None, "we do not know"


@pytest.mark.slow
def test_a_run_tells_it_in_one_line(world, tmp_path, monkeypatch, caplog) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    said = []
    for name in ("auto", "bf16-mixed"):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "cyclip_pl"):
            train(composed(*shrunk(world), f"trainer.precision={name}", run_dir=tmp_path / name))
        said.append([text for text in caplog.messages if text.startswith("trainer.precision=")])
    assert said[0] == []
    assert len(said[1]) == 1 and "bf16-mixed" in said[1][0]
