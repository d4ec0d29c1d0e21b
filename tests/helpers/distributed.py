"""Run a function on several gloo ranks."""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

# One server per session imports these once; each rank is a fork of it. A rank starts as clean as
# a new interpreter, so nothing leaks from one test into the next, without its seconds of imports.
# Only packages of others: the ranks import the code under test themselves.
PRELOADED = ["torch", "torchvision", "torch.distributed.fsdp", "lightning", "open_clip"]


def _rank_main(rank: int, fn: Callable[..., Any], world_size: int, folder: str, args: Any) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/rendezvous",
        rank=rank,
        world_size=world_size,
        timeout=timedelta(seconds=60),
    )
    torch.save(fn(*args), Path(folder) / f"{rank}.pt")
    # Nobody leaves before all are done. The group is not torn down: gloo of torch 2.6 may wait
    # there forever for a rank that has ended.
    dist.barrier()


def run_distributed(fn: Callable[..., Any], world_size: int, *args: Any) -> list[Any]:
    """`fn(*args)` in `world_size` fresh processes of one group, one thread each.

    `fn` is a function of a module; it and the arguments must pickle. Returns the ranks' results,
    in rank order; the first exception of any rank ends them all and is raised here.
    """
    multiprocessing.set_forkserver_preload(PRELOADED)
    with tempfile.TemporaryDirectory() as folder:
        mp.start_processes(
            _rank_main,
            (fn, world_size, folder, args),
            nprocs=world_size,
            start_method="forkserver",
        )
        return [
            torch.load(Path(folder) / f"{rank}.pt", weights_only=False)
            for rank in range(world_size)
        ]
