from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from cyclip_pl import distributed, sharding
from cyclip_pl.sharding import Policy, blocks, clip_gradients, fill, gathered, is_sharded, whole
from tests.helpers.distributed import run_distributed
from tests.helpers.modules import small_batch, small_module
from tests.helpers.strategies import as_torchrun, remember, trained


@pytest.mark.parametrize(
    ("architecture", "expected"),
    [
        ("vit", {"ResidualAttentionBlock": 3}),  # two of the image tower, one of the text tower
        ("resnet", {"Bottleneck": 4, "ResidualAttentionBlock": 1}),
        ("timm", {"BasicBlock": 3, "Bottleneck": 1, "ResidualAttentionBlock": 1}),
    ],
)
def test_the_blocks_of_each_kind_of_tower(architecture, expected) -> None:
    found = blocks(small_module(architecture=architecture).encoder)
    assert Counter(type(block).__name__ for block in found) == expected


def test_blocks_within_blocks_and_small_parts_are_not_blocks() -> None:
    def layer() -> nn.Sequential:
        return nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = nn.Sequential(layer(), layer())

    class Stage(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.ModuleList([Block(), Block()])

    network = nn.Sequential(layer(), Stage(), Stage(), nn.Linear(2, 2))
    assert [type(block) for block in blocks(network)] == [Block] * 4
    assert not blocks(nn.Linear(2, 2))


class _Odd(nn.Module):
    """Shapes that two and three ranks do not divide: 5 rows, 1 row, 1 element."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.five = nn.Parameter(torch.randn(5, 3, dtype=torch.float64))
        self.one = nn.Parameter(torch.randn(1, 3, dtype=torch.float64))
        self.single = nn.Parameter(torch.randn(1, dtype=torch.float64))
        self.frozen = nn.Parameter(torch.randn(4, dtype=torch.float64), requires_grad=False)

    def forward(self, x_NC: Tensor) -> Tensor:
        return ((x_NC @ self.five.T).square().sum() + (x_NC * self.one).sum()) * self.single

    def measured(self, x_NC: Tensor) -> Tensor:
        return self(x_NC)


def _rows() -> Tensor:
    return torch.randn(12, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def _clipped(most: float) -> tuple[Tensor, list[Tensor]]:
    module, common = _Odd(), nn.Parameter(torch.ones(2, dtype=torch.float64))
    mine = _rows().chunk(distributed.world_size())[distributed.rank()]
    if distributed.world_size() > 1:
        mesh = init_device_mesh("cpu", (distributed.world_size(),))
        sharding.shard(module, ("measured",), mesh, Policy())
        assert is_sharded(module) and isinstance(module.five, DTensor)
    # The mean over ranks is the whole's: each rank has a share of the rows.
    loss = module.measured(mine).sum() * distributed.world_size()
    (loss + common.sum()).backward()
    parameters = [*module.parameters(), common]
    norm = clip_gradients(parameters, most)
    return norm, [gathered(p.grad) for p in parameters if p.grad is not None]


def _filled() -> dict[str, Tensor]:
    module = _Odd()
    mesh = init_device_mesh("cpu", (distributed.world_size(),))
    sharding.shard(module, (), mesh, Policy())
    for parameter in module.parameters():
        fill(parameter, torch.arange(parameter.numel()).view(parameter.shape).double())
    return {name: gathered(p).detach().clone() for name, p in module.named_parameters()}


def _odd_on_rank() -> tuple[Any, Any, Any]:
    return _clipped(1.0), _clipped(float("inf")), _filled()


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 3])
def test_norms_gradients_and_values_of_odd_shapes_are_those_of_one_process(ranks) -> None:
    for clipped, unclipped, filled in run_distributed(_odd_on_rank, ranks):
        for found, most in ((clipped, 1.0), (unclipped, float("inf"))):
            norm, gradients = _clipped(most)
            torch.testing.assert_close(found[0], norm, rtol=1e-12, atol=0)
            torch.testing.assert_close(found[1], gradients, rtol=1e-12, atol=1e-12)
        for name, x in filled.items():
            wanted = torch.arange(x.numel()).view(x.shape).double()
            assert torch.equal(x, wanted), name


def _uneven_forwards() -> tuple[Tensor, bool, bool]:
    """Inside `whole` the first rank makes three forwards and the other one none."""
    module, batch = small_module(), small_batch(n=4)
    mesh = init_device_mesh("cpu", (2,))
    policy, encoder = Policy(), module.encoder
    sharding.shard(encoder, ("encode_image", "encode_text"), mesh, policy)
    found = torch.zeros(0)
    with torch.no_grad():
        with whole(encoder, policy):  # before the first forward of all
            for _ in range(3 * (distributed.rank() == 0)):
                found = encoder.encode_image(batch.images[0])
        again = all(isinstance(p, DTensor) for p in encoder.parameters())
        encoder(batch)  # all ranks
        resharded = all(isinstance(p, DTensor) for b in blocks(encoder) for p in b.parameters())
    assert all(isinstance(block, FSDPModule) for block in blocks(encoder))
    return found, again, resharded


@pytest.mark.slow
def test_within_whole_ranks_make_forwards_of_their_own() -> None:
    first, second = run_distributed(_uneven_forwards, 2)
    expected = small_module().encoder.encode_image(small_batch(n=4).images[0])
    torch.testing.assert_close(first[0], expected.detach(), rtol=1e-12, atol=0)
    assert first[1:] == second[1:] == (True, True)


# What changes how a step is computed, and not what it computes.
WAYS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "kept": ({}, {"reshard_after_forward": False}),
    "checkpointing": ({"gradient_checkpointing": True}, {}),
    "locked": ({"lock_image": True}, {}),
}


def _ways_on_rank() -> dict[str, dict[str, Tensor]]:
    with as_torchrun():
        found = {}
        for way, (encoder, policy) in WAYS.items():
            for pieces in (None, 2):
                module = small_module(architecture="resnet", microbatch=pieces, **encoder)
                remember(module)
                steps = trained(module, [small_batch()] * 2, "fsdp", **policy)
                found[f"{way} {pieces}"] = steps.weights
    return found


@pytest.mark.slow
def test_settings_of_memory_change_no_number() -> None:
    found, _ = run_distributed(_ways_on_rank, 2)
    for way, (encoder, _) in WAYS.items():
        module = small_module(architecture="resnet", **encoder)
        remember(module)
        expected = trained(module, [small_batch()] * 2).weights
        for pieces in (None, 2):
            torch.testing.assert_close(found[f"{way} {pieces}"], expected, rtol=0, atol=1e-11)
