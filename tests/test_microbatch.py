"""Micro-batches against the whole batch, and against as many ranks where a BatchNorm sees them."""

from __future__ import annotations

import csv
import weakref
from copy import deepcopy
from functools import cache
from types import SimpleNamespace

import pytest
import torch
from hydra.utils import instantiate
from lightning.pytorch.strategies import FSDPStrategy
from omegaconf import open_dict
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from cyclip_pl import distributed
from cyclip_pl.encoders.dual import DualEncoder
from cyclip_pl.module import ContrastiveModule
from cyclip_pl.training import train
from cyclip_pl.types import Batch
from tests.helpers.architectures import RESNET, TIMM, VIT
from tests.helpers.composed import choices, composed
from tests.helpers.distributed import run_distributed
from tests.helpers.world import shrunk

ARCHITECTURES = {"vit": VIT, "resnet": RESNET, "timm": TIMM}
OBJECTIVES = choices("objective")
CASES = [*((name, "vit") for name in OBJECTIVES), ("cyclip", "resnet"), ("slip", "timm")]
SAMPLES = 12


@cache
def _built(architecture: str, settings: tuple[tuple[str, object], ...]) -> DualEncoder:
    torch.manual_seed(0)
    return DualEncoder(ARCHITECTURES[architecture], image_size=32, **dict(settings))


def _module(
    name: str = "cyclip", architecture: str = "vit", microbatch: int | None = None, **settings
) -> ContrastiveModule:
    """float64, the objective with the projector of its YAML."""
    config = composed(f"objective={name}", "heads.clusters=16", "heads.width=8")
    encoder = deepcopy(_built(architecture, tuple(settings.items())))
    torch.manual_seed(0)
    return ContrastiveModule(
        encoder,
        instantiate(config.projector)(features=encoder.embed_dim),
        instantiate(config.objective),
        instantiate(config.optimizer),
        instantiate(config.scheduler),
        microbatch=microbatch,
    ).double()


def _batch(name: str = "cyclip", n: int = SAMPLES) -> Batch:
    """Of the views of the objective's YAML."""
    views = instantiate(composed(f"objective={name}").views)
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (views.image_views, n, 3, 32, 32), generator=generator)
    texts = torch.randint(1, 400, (views.text_views, n, 8), generator=generator)
    texts[..., -1] = 49407
    shape = (views.image_views, n, views.parameters)
    augmentation = torch.rand(shape, generator=generator, dtype=torch.float64)
    return Batch(images.to(torch.uint8), texts, augmentation if views.parameters else None)


Step = tuple[dict[str, Tensor], dict[str, Tensor]]


def _gradients(module: nn.Module) -> dict[str, Tensor]:
    return {n: p.grad for n, p in module.named_parameters() if p.grad is not None}


def _step(module: ContrastiveModule, batch: Batch) -> Step:
    """Terms, and the gradients of all parameters that have one."""
    terms = module.objective(module.embed(batch))
    terms["total"].backward()
    return {name: value.detach() for name, value in terms.items()}, _gradients(module)


def _assert_equal(actual: Step, expected: Step) -> None:
    torch.testing.assert_close(actual[0], expected[0], rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(actual[1], expected[1], rtol=1e-7, atol=1e-11)


def _sees_batches(module: nn.Module) -> bool:
    return any(isinstance(m, _BatchNorm) for m in module.modules())


# Pieces of 5, 5, 2 would be uneven; these are of 4, and of 3.
@pytest.mark.parametrize("microbatch", [5, 3])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_gradients_are_the_large_batchs_for_every_objective(name, microbatch):
    module, batch = _module(name), _batch(name)
    if _sees_batches(module):
        pytest.skip("a BatchNorm in the projector: compared with ranks below")
    small = _module(name, microbatch=microbatch)
    expected = _step(module, batch)
    assert expected[1].keys() == dict(module.named_parameters()).keys()
    _assert_equal(_step(small, batch), expected)


def _of_rank(batch: Batch) -> Batch:
    return batch.split(len(batch) // distributed.world_size())[distributed.rank()]


def _on_rank() -> tuple[list[Step], list[Step]]:
    """Whole shares, and shares of two micro-batches."""
    whole, pieces = (
        [
            _step(_module(name, architecture, microbatch), _of_rank(_batch(name)))
            for name, architecture in CASES
        ]
        for microbatch in (None, SAMPLES // 4)
    )
    return whole, pieces


def test_micro_batches_are_as_many_ranks():
    """Two are two ranks; four are two ranks of two. With BatchNorm, in tower or head, and without."""
    ranks = run_distributed(_on_rank, 2)
    assert sum(_sees_batches(_module(*case)) for case in CASES) >= 5
    for kind, pieces in enumerate((2, 4)):
        for case, (name, architecture) in enumerate(CASES):
            steps = [rank[kind][case] for rank in ranks]
            mean = {k: (g + steps[1][1][k]) / 2 for k, g in steps[0][1].items()}
            module = _module(name, architecture, SAMPLES // pieces)
            _assert_equal(_step(module, _batch(name)), (steps[0][0], mean))
