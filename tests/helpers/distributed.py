"""Run a function on several gloo ranks."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def _rank_main(rank: int, fn: Callable[..., Any], world_size: int, folder: str, args: Any) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/rendezvous",
        rank=rank,
        world_size=world_size,
        timeout=timedelta(seconds=60),
    )
    try:
        torch.save(fn(*args), Path(folder) / f"{rank}.pt")
    finally:
        dist.destroy_process_group()


def run_distributed(fn: Callable[..., Any], world_size: int, *args: Any) -> list[Any]:
    """`fn(*args)` in `world_size` fresh processes of one group, a thread each.

    `fn` is a function of a module; it and the arguments must pickle. Returns the ranks' results,
    in rank order; the first exception of any rank ends them all and is raised here.
    """
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(_rank_main, (fn, world_size, folder, args), nprocs=world_size)
        return [
            torch.load(Path(folder) / f"{rank}.pt", weights_only=False)
            for rank in range(world_size)
        ]
