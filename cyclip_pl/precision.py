"""The precision that a device computes in natively, and a word about one that it does not."""

from __future__ import annotations

import platform

import torch
from omegaconf import DictConfig

from cyclip_pl.provenance import device_name


def precision(trainer: DictConfig) -> str:
    """`trainer.precision`; `auto` is bfloat16 where the device computes in it natively."""
    if trainer.precision != "auto":
        return trainer.precision
    if trainer.accelerator != "cpu" and torch.cuda.is_available():
        return "bf16-mixed" if _gpu_has_bfloat16() else "16-mixed"
    return "bf16-mixed" if _cpu_has_bfloat16() else "32-true"


def slow(asked: str, device: torch.device) -> str | None:
    """What to say of `trainer.precision=<asked>` if `device` only emulates it; else None."""
    kind = "bfloat16" if asked.startswith("bf16") else "float16" if asked[:2] == "16" else None
    if kind is None or _native(kind, device.type):
        return None
    return (
        f"trainer.precision={asked}: {device_name(device)} does not compute in {kind} natively, so"
        " steps may take many times as long; set trainer.precision=auto"
    )


def _native(kind: str, device: str) -> bool:
    if device == "cuda":
        return kind == "float16" or _gpu_has_bfloat16()
    if device != "cpu":
        return True
    # Of other processors than x86 we do not know.
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    return kind == "bfloat16" and (not x86 or _cpu_has_bfloat16())


def _gpu_has_bfloat16() -> bool:
    return torch.cuda.is_bf16_supported(including_emulation=False)


def _cpu_has_bfloat16() -> bool:
    return torch.cpu._is_avx512_bf16_supported()
