"""Checkpoints with sharded tensors, uneven over the ranks, written by several of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

from cyclip_pl.checkpoints.write_shards import save
from cyclip_pl.distributed import world_size

# The last ranks have fewer rows, or none.
SHAPES = {"even": (6, 2), "uneven": (7, 3), "two": (2, 2, 2), "row": (1, 5), "one": (1,)}


def whole(step: int = 5, size: int = 0) -> dict[str, Any]:
    """A checkpoint as one process has it; `size` more values in a tensor of their own."""
    draw = torch.Generator().manual_seed(step)
    shapes = {**SHAPES, "large": (size,)} if size else SHAPES
    types = {"two": torch.bfloat16, "row": torch.float64}

    def drawn() -> dict[str, Tensor]:
        return {
            name: torch.randn(shape, generator=draw).to(types.get(name, torch.float32))
            for name, shape in shapes.items()
        }

    groups = [{"lr": 0.1, "betas": (0.9, 0.99), "params": [0, 1]}]
    states = {n: {"step": torch.tensor(float(step)), **drawn()} for n in (0, 1)}
    return {
        "state_dict": {"scale": torch.tensor(2.5), **drawn()},
        "current_model_state": drawn(),
        "optimizer_states": [{"state": states, "param_groups": groups}],
        "callbacks": {"Resume": {"random": [torch.arange(4)]}},
        "config": {"seed": 0},
        "scale": 1.0,
        "global_step": step,
    }


def divided(node: Any, at: str = "") -> Any:
    """The same with the tensors of `SHAPES` divided among the ranks."""
    if isinstance(node, dict):
        return {key: divided(value, str(key)) for key, value in node.items()}
    if isinstance(node, list):
        return [divided(value) for value in node]
    if at in (*SHAPES, "large"):
        return distribute_tensor(node, init_device_mesh("cpu", (world_size(),)), [Shard(0)])
    return node


def write(path: Path, step: int = 5, keep: str | None = None) -> None:
    """On each rank: write the checkpoint of a step."""
    save(divided(whole(step)), path, keep)


def outcome(work: Callable[[], Any]) -> str:
    """What it raised, with its type; nothing if nothing."""
    try:
        work()
    except (OSError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def same(a: Any, b: Any) -> bool:
    """Whether nested containers hold equal values and tensors, of equal types."""
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)
