from __future__ import annotations

from copy import deepcopy
from functools import partial
from typing import Any

import pytest
import torch

from cyclip_pl.guard import StepGuard
from cyclip_pl.optimization import orthogonal
from cyclip_pl.optimization.making import Maker, build
from cyclip_pl.optimization.muon import Muon
from tests.helpers.distributed import run_distributed
from tests.helpers.modules import small_batch, small_module


def _groups(convolution: bool = False) -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(0)

    def some(*shape: int) -> torch.nn.Parameter:
        return torch.nn.Parameter(torch.randn(shape, generator=generator))

    more = [some(4, 2, 3, 3)] if convolution else []
    return [
        {"params": [some(5, 3), some(2, 6), *more], "use_fallback": False, "name": "matrices"},
        {"params": [some(4, 4), some(2, 3, 2, 2)], "use_fallback": True, "name": "others"},
        {"params": [some(3)], "use_fallback": True, "weight_decay": 0.0, "name": "no_decay"},
    ]


def _gradients(groups: list[dict[str, Any]], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for p in (p for group in groups for p in group["params"]):
        p.grad = torch.randn(p.shape, generator=generator)


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch is older")
def test_it_is_torchs_muon_and_torchs_adamw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orthogonal, "_dtype", lambda matrix: torch.bfloat16)
    groups = _groups()
    alone = deepcopy(groups)
    optimizer = Muon(groups, lr=0.1, weight_decay=0.2, momentum=0.9, betas=(0.8, 0.9))
    both = {"lr": 0.1, "weight_decay": 0.2}
    muon = torch.optim.Muon(
        alone[0]["params"], momentum=0.9, adjust_lr_fn="match_rms_adamw", **both
    )
    rest = [{"params": alone[1]["params"]}, {"params": alone[2]["params"], "weight_decay": 0.0}]
    adamw = torch.optim.AdamW(rest, betas=(0.8, 0.9), fused=True, **both)
    for seed in range(3):
        _gradients(groups, seed)
        _gradients(alone, seed)
        if seed == 1:  # as a schedule does
            for group in (*optimizer.param_groups, *muon.param_groups, *adamw.param_groups):
                group["lr"] = 0.03
        for one in (optimizer, muon, adamw):
            one.step()
    for mine, its in zip(groups, alone, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(mine["params"], its["params"], strict=True))
    assert len(optimizer.state) == 5
    kinds = {frozenset(state) for state in optimizer.state.values()}
    assert kinds == {frozenset({"momentum_buffer"}), frozenset({"step", "exp_avg", "exp_avg_sq"})}


def test_the_rate_of_the_matrices() -> None:
    groups = _groups()
    groups[0]["lr_scale"] = 0.5
    optimizer = Muon(groups, lr=0.1, matrix_rate=3.0)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.3, 0.1, 0.1])


def test_convolutions_up_to_a_number_of_channels() -> None:
    module = small_module("cyclip", "resnet")
    optimizer = build(Maker(partial(Muon, fused=False, convolutions=128)), module)
    names = {id(p): name for name, p in module.named_parameters()}
    shapes = {
        names[id(p)]: tuple(p.shape)
        for group in optimizer.param_groups
        if not group["use_fallback"]
        for p in group["params"]
        if p.ndim == 4
    }
    assert shapes and all(max(shape[:2]) <= 128 and shape[1] > 3 for shape in shapes.values())


def test_it_goes_on_from_its_state() -> None:
    groups = _groups()
    optimizer = Muon(groups, lr=0.1)
    _gradients(groups, 0)
    optimizer.step()
    again = deepcopy(groups)
    other = Muon(again, lr=0.1)
    other.load_state_dict(deepcopy(optimizer.state_dict()))
    for one, of in ((optimizer, groups), (other, again)):
        _gradients(of, 1)
        one.step()
    for mine, its in zip(groups, again, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(mine["params"], its["params"], strict=True))


def test_it_takes_attention_and_mlps_and_no_more() -> None:
    module = small_module("nclip")
    optimizer = build(Maker(partial(Muon, fused=False)), module)
    names = {id(p): name for name, p in module.named_parameters()}
    muons = {
        names[id(p)]
        for group in optimizer.param_groups
        if not group["use_fallback"]
        for p in group["params"]
    }
    blocks = [f"encoder.model.visual.transformer.resblocks.{n}" for n in (0, 1)]
    blocks.append("encoder.model.transformer.resblocks.0")
    maps = ("attn.in_proj_weight", "attn.out_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight")
    assert muons == {f"{block}.{name}" for block in blocks for name in maps}
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(names)


def test_a_step_that_is_not_finite_changes_nothing() -> None:
    module, batch = small_module("cyclip"), small_batch("cyclip")
    optimizer = build(Maker(partial(Muon, fused=True)), module)
    guard = StepGuard(module, optimizer)

    def step(spoil: bool) -> None:
        optimizer.zero_grad()
        guard.before()
        loss = module.objective(module.embed(batch))["total"]
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        guard.judge(torch.stack([loss.detach(), norm * (float("nan") if spoil else 1.0)]))
        optimizer.step()

    step(False)
    before = deepcopy((module.state_dict(), optimizer.state_dict()["state"]))
    step(True)
    after = module.state_dict(), optimizer.state_dict()["state"]
    torch.testing.assert_close(after, before, rtol=0, atol=0)
    step(False)
    assert not torch.equal(module.encoder.model.visual.proj, before[0]["encoder.model.visual.proj"])


def test_what_cannot_work_is_said() -> None:
    groups = _groups()
    with pytest.raises(ValueError, match="^optimizer=muon: no matrix of an attention or MLP layer"):
        Muon(groups[1:])
    with pytest.raises(ValueError, match=r"^optimizer\.matrix_rate=0: must be"):
        Muon(groups, matrix_rate=0)
    with pytest.raises(ValueError, match=r"^optimizer\.convolutions=-1: must be"):
        Muon(groups, convolutions=-1)


def _sharded_on_rank() -> tuple[list[torch.Tensor], str]:
    from torch.distributed.tensor import Shard, distribute_tensor, init_device_mesh

    mesh = init_device_mesh("cpu", (2,))
    groups = _groups(convolution=True)
    for group in groups:
        group["params"] = [
            torch.nn.Parameter(distribute_tensor(p.detach(), mesh, [Shard(0)]))
            for p in group["params"]
        ]
    optimizer = Muon(groups, lr=0.1)
    for seed in range(2):
        generator = torch.Generator().manual_seed(seed)
        for p in (p for group in groups for p in group["params"]):
            whole = torch.randn(p.shape, generator=generator)
            p.grad = distribute_tensor(whole, mesh, [Shard(0)])
        optimizer.step()
    row = torch.nn.Parameter(distribute_tensor(torch.ones(1, 3), mesh, [Shard(0)]))
    with pytest.raises(ValueError) as caught:
        Muon([{"params": [row], "use_fallback": False}])
    states = [x for state in optimizer.state.values() for x in state.values() if x.ndim]
    assert all(x.placements == (Shard(0),) for x in states), "no rank holds the whole"
    whole = [p.full_tensor().detach() for group in groups for p in group["params"]]
    return whole, str(caught.value)


@pytest.mark.slow
def test_sharded_it_is_the_same_to_the_bit() -> None:
    groups = _groups(convolution=True)
    optimizer = Muon(groups, lr=0.1)
    for seed in range(2):
        _gradients(groups, seed)
        optimizer.step()
    alone = [p.detach() for group in groups for p in group["params"]]
    for sharded, told in run_distributed(_sharded_on_rank, 2):
        assert all(torch.equal(a, b) for a, b in zip(sharded, alone, strict=True))
        assert told.startswith("optimizer=muon: a matrix of 1 rows cannot be sharded over 2 ranks")
