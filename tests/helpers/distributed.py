"""Several gloo ranks on this machine."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def _rank(rank: int, world: int, folder: str, function: Callable[..., Any], args: tuple) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=world)
    try:
        torch.save(function(rank, world, *args), os.path.join(folder, f"{rank}.pt"))
    finally:
        dist.destroy_process_group()


def run_distributed(function: Callable[..., Any], world: int, *args: Any) -> list[Any]:
    """`function(rank, world, *args)` on every rank; what each returned, in rank order.

    `function` is a module's own, so that spawned processes can import it.
    """
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(_rank, (world, folder, function, args), nprocs=world)
        return [torch.load(Path(folder, f"{r}.pt"), weights_only=False) for r in range(world)]
