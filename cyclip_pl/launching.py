"""On which device an evaluation computes, and in how many processes."""

from __future__ import annotations

import os
from importlib.util import find_spec

import torch

# A launcher's environment: Lightning knows what each of them means.
_LAUNCHERS = (
    *("RANK", "LOCAL_RANK", "WORLD_SIZE", "SLURM_NTASKS", "LSB_JOBID", "OMPI_COMM_WORLD_SIZE"),
    *("PMI_SIZE", "LT_ACCELERATOR", "LT_DEVICES", "LT_STRATEGY", "LT_NUM_NODES"),
)


def launched(accelerator: str, devices: int | str | list[int]) -> tuple[torch.device, bool]:
    """Start the other processes, if there are several; this one's device, and whether it is first.

    Args:
        accelerator, devices: As of Lightning's `Fabric`, which chooses. One process on a CPU or on
            the only choice of GPU needs no choice, and Lightning takes seconds to import.
    """
    alone = devices in (1, "1") and not any(name in os.environ for name in _LAUNCHERS)
    if alone and (device := _only(accelerator)) is not None:
        return device, True
    import lightning as L

    fabric = L.Fabric(accelerator=accelerator, devices=devices)
    fabric.launch()
    return fabric.device, fabric.is_global_zero


def _only(accelerator: str) -> torch.device | None:
    """The device that Lightning would choose for one process; None where only it knows."""
    if accelerator == "cpu":
        return torch.device("cpu")
    if accelerator != "auto" or find_spec("torch_xla") or torch.backends.mps.is_available():
        return None
    if not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", 0)
    torch.cuda.set_device(device)
    return device
