"""A BatchNorm over ranks is that of one process with all samples."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from timm.layers import BatchNormAct2d
from torch import Tensor, nn

from cyclip_pl import distributed
from cyclip_pl.batch_norm import over_ranks
from tests.helpers.distributed import run_distributed
from tests.helpers.modules import small_batch, small_module
from tests.helpers.strategies import Trained, as_torchrun, trained

SHAPES = [(12, 5), (12, 5, 3, 2)]
CASES = [("cyclip", "resnet"), ("slip", "timm"), ("nclip", "vit")]


def _norm(shape: tuple[int, ...], momentum: float | None, affine: bool) -> nn.Module:
    kind = nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d
    norm = kind(shape[1], momentum=momentum, affine=affine, dtype=torch.float64)
    if affine:
        nn.init.uniform_(norm.weight, generator=torch.Generator().manual_seed(2))
    return norm


def _steps(shape: tuple[int, ...], momentum: float | None, affine: bool) -> dict[str, Tensor]:
    """Two batches: the last output and its gradient, of all ranks, and what the norm remembers."""
    norm = _norm(shape, momentum, affine)
    over_ranks(norm)
    generator = torch.Generator().manual_seed(1)
    for _ in range(2):
        x = torch.randn(shape, dtype=torch.float64, generator=generator) * 3 + 7
        mine = x.chunk(distributed.world_size())[distributed.rank()].requires_grad_()
        out = norm(mine)
        (distributed.gather(out).pow(3).sum()).backward()
    assert mine.grad is not None
    found = {"out": distributed.gather(out), "gradient": distributed.gather(mine.grad)}
    return {name: x.detach() for name, x in found.items()} | dict(norm.state_dict())


def _trained(name: str, architecture: str, strategy: str = "auto") -> Trained:
    module = small_module(name, architecture)
    for part in (module.encoder, module.projector):
        over_ranks(part)
    return trained(module, [small_batch(name)] * 2, strategy)


def _on_rank() -> tuple[list[dict[str, Tensor]], Any]:
    norms = [_steps(shape, m, a) for shape in SHAPES for m, a in ((0.1, True), (None, False))]
    with as_torchrun():
        return norms, [[_trained(*case, one) for one in ("ddp", "fsdp")] for case in CASES]


@pytest.mark.slow
def test_outputs_gradients_statistics_and_steps_are_those_of_one_process() -> None:
    settings = [(shape, m, a) for shape in SHAPES for m, a in ((0.1, True), (None, False))]
    for norms, steps in run_distributed(_on_rank, 2):
        for (shape, momentum, affine), found in zip(settings, norms, strict=True):
            wanted = _steps(shape, momentum, affine)
            # Every rank's loss is that of all, so the sum of their gradients is twice one's.
            found["gradient"] /= 2
            torch.testing.assert_close(found, wanted, rtol=1e-11, atol=1e-11)
        for case, under in zip(CASES, steps, strict=True):
            expected = _trained(*case)
            for found in under:
                assert found.steps[-1] == pytest.approx(expected.steps[-1], rel=1e-8)
                torch.testing.assert_close(found.weights, expected.weights, rtol=0, atol=1e-10)


def test_in_one_process_it_is_torchs_own() -> None:
    plain, over = (nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)) for _ in range(2))
    over.load_state_dict(plain.state_dict())
    over_ranks(over)
    x = torch.randn(2, 3, 4, 4)
    assert torch.equal(plain(x), over(x))
    assert over.state_dict().keys() == plain.state_dict().keys()


def test_one_with_an_activation_inside_is_refused() -> None:
    with pytest.raises(ValueError, match=r"sync_batchnorm=true: the network has BatchNormA"):
        over_ranks(nn.Sequential(BatchNormAct2d(4)))
