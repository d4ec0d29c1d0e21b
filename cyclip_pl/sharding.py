"""Parameters that are divided among the ranks (FSDP2, `torch.distributed.fsdp.fully_shard`).

A sharded parameter is a `DTensor` of its whole shape, of which each rank holds some rows. It
becomes whole for the forward and the backward of the block that it belongs to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import (
    CPUOffloadPolicy,
    FSDPModule,
    MixedPrecisionPolicy,
    OffloadPolicy,
    fully_shard,
    register_fsdp_forward_method,
)
from torch.distributed.tensor import DTensor, Replicate, Shard
from torch.nn.utils import get_total_norm

from cyclip_pl.distributed import sum_over_ranks
from cyclip_pl.types import Embeddings, Features


class Rows(Protocol):
    """What gives rows when it is indexed: a tensor, or `checkpoints.shards.Shards` of files."""

    def __getitem__(self, rows: Any, /) -> Tensor: ...


_CONTAINERS = (nn.Sequential, nn.ModuleList)


class Policy(NamedTuple):
    """How parameters are sharded.

    Attributes:
        reshard_after_forward: Whether a block gives its whole parameters back after its forward, to
            gather them again for its backward.
        cpu_offload: Whether parameters, gradients and optimiser state wait in the host's memory.
        param_dtype: Type in which parameters are gathered and computed with; None for their own.
        reduce_dtype: Type in which gradients are averaged; None for that of the parameters.
    """

    reshard_after_forward: bool = True
    cpu_offload: bool = False
    param_dtype: torch.dtype | None = None
    reduce_dtype: torch.dtype | None = None


def blocks(module: nn.Module) -> list[nn.Module]:
    """The blocks that a network repeats, such as transformer layers and residual blocks.

    They are found by where they stand and by what they hold: an element of an `nn.Sequential` or
    `nn.ModuleList` with two or more linear maps or convolutions, and without such elements inside.
    """
    found: list[nn.Module] = []
    for parent in module.modules():
        children = parent.children() if isinstance(parent, _CONTAINERS) else ()
        found += [c for c in children if not isinstance(c, _CONTAINERS) and _is_composite(c)]
    outer = {id(a) for a in found for b in a.modules() if b is not a and any(b is c for c in found)}
    return [block for block in dict.fromkeys(found) if id(block) not in outer]


def _is_composite(module: nn.Module) -> bool:
    owners = [m for m in module.modules() if any(p.ndim > 1 for p in m.parameters(recurse=False))]
    return len(owners) > 1


def shard(module: nn.Module, methods: Sequence[str], mesh: DeviceMesh, policy: Policy) -> None:
    """Shard a module's parameters in place, block by block, and what is outside of blocks together.

    Args:
        methods: What is called beside `forward`; parameters are whole within these too.
        mesh: The ranks, one dimension.
    """
    if not any(True for _ in module.parameters()):
        return
    _know_dataclasses()
    offload = CPUOffloadPolicy() if policy.cpu_offload else OffloadPolicy()
    precision = MixedPrecisionPolicy(policy.param_dtype, policy.reduce_dtype)
    settings: dict[str, Any] = {"mesh": mesh, "mp_policy": precision, "offload_policy": offload}
    for parameter in module.parameters():
        parameter.data = parameter.data.contiguous()  # of those in channels_last
    for block in blocks(module):
        fully_shard(block, reshard_after_forward=policy.reshard_after_forward, **settings)
    # The backward begins with what is outside of blocks: it stays whole.
    fully_shard(module, reshard_after_forward=False, **settings)
    for method in methods:
        register_fsdp_forward_method(module, method)


@cache
def _know_dataclasses() -> None:
    """FSDP puts its hooks on the tensors of what a forward takes and returns."""
    for kind in (Features, Embeddings):
        torch.export.register_dataclass(kind)


def is_sharded(module: nn.Module) -> bool:
    """Whether any of the module's parameters is sharded."""
    return any(isinstance(m, FSDPModule) for m in module.modules())


def ranks_of(x: Tensor) -> int:
    """How many ranks share a tensor, 1 for one that is not sharded."""
    return x.device_mesh.size() if isinstance(x, DTensor) else 1


@contextmanager
def whole(root: nn.Module, policy: Policy) -> Iterator[None]:
    """Inside, each rank has all parameters of a root, and its forwards wait for no other rank.

    All ranks enter and leave it together. For evaluations, in which ranks make different numbers of
    forwards. Parameters must not change inside.
    """
    sharded = [m for m in root.modules() if isinstance(m, FSDPModule)]
    for part in sharded:
        part.set_reshard_after_forward(False, recurse=False)
        part.unshard()
    try:
        yield
    finally:
        for part in sharded:
            part.reshard()
            resharding = policy.reshard_after_forward and part is not root
            part.set_reshard_after_forward(resharding, recurse=False)


def clip_gradients(parameters: Iterable[nn.Parameter], most: float) -> Tensor:
    """Scale gradients in place so that their norm over all ranks is at most `most`.

    Returns:
        The norm that they had, a scalar, the same on every rank.
    """
    learning = [p for p in parameters if p.grad is not None]
    gradients = [p.grad for p in learning if p.grad is not None]
    if not any(isinstance(gradient, DTensor) for gradient in gradients):
        return torch.nn.utils.clip_grad_norm_(learning, most)
    own = [g.to_local() for g in gradients if isinstance(g, DTensor)]
    common = [g for g in gradients if not isinstance(g, DTensor)]
    device = common[0].device if common else own[0].device
    square = sum_over_ranks(get_total_norm(own).square().to(device))
    norm = (square + get_total_norm(common).square().to(device)).sqrt()
    share = (most / (norm + 1e-6)).clamp(max=1.0)  # as torch has it
    for gradient in (*own, *common):
        gradient.mul_(share.to(gradient.device, gradient.dtype))
    return norm


def gathered(x: Tensor) -> Tensor:
    """The whole of a tensor that may be sharded; all ranks call it."""
    return x.full_tensor() if isinstance(x, DTensor) else x


def replicated(x: Tensor) -> Tensor:
    """A sharded tensor with all of its values on each rank; all ranks call it."""
    assert isinstance(x, DTensor)
    return x.redistribute(placements=[Replicate()] * x.device_mesh.ndim)


def replicated_as(x: Tensor, other: Tensor) -> Tensor:
    """What all ranks hold alike, as a tensor of the kind of `other`, which may be replicated."""
    return DTensor.from_local(x, other.device_mesh) if isinstance(other, DTensor) else x


def sharded_as(x: Tensor, other: Tensor) -> Tensor:
    """A sharded tensor, divided among the ranks as another one is."""
    assert isinstance(x, DTensor) and isinstance(other, DTensor)
    return x.redistribute(placements=other.placements)


def local(x: Tensor) -> Tensor:
    """This rank's share of a tensor that may be sharded; what is written there is in the tensor."""
    return x.to_local() if isinstance(x, DTensor) else x


def is_by_rows(x: DTensor) -> bool:
    """Whether each rank has rows of its own, as of parameters."""
    return tuple(x.placements) == (Shard(0),)


@torch.no_grad()
def fill(x: Tensor, values: Rows) -> None:
    """Write values into a tensor that may be sharded.

    Args:
        values: The whole, which each rank can index; a rank takes the rows that it holds.
    """
    if not isinstance(x, DTensor):
        x.copy_(values[...])
    elif is_by_rows(x):
        # Rows as `torch.chunk` deals them; the last ranks may get none.
        most = -(-x.shape[0] // x.device_mesh.size())
        start = x.device_mesh.get_local_rank() * most
        x.to_local().copy_(values[start : start + most])
    else:
        x.to_local().copy_(values[...])


def replaced(node: Any, change: Callable[[tuple[Any, ...], DTensor], Any], *at: Any) -> Any:
    """Nested dicts and lists with `change(where it stands, x)` for each sharded tensor x."""
    if isinstance(node, DTensor):
        return change(at, node)
    if isinstance(node, dict):
        return {key: replaced(value, change, *at, key) for key, value in node.items()}
    if isinstance(node, list):
        return [replaced(value, change, *at, number) for number, value in enumerate(node)]
    return node
