"""Every objective under every strategy, in float64: the numbers of one process."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from hydra.utils import instantiate

from cyclip_pl.module import ContrastiveModule
from cyclip_pl.strategy import FullySharded
from tests.helpers.composed import choices, composed
from tests.helpers.distributed import run_distributed
from tests.helpers.modules import small_batch, small_module
from tests.helpers.strategies import Trained, as_torchrun, remember, trained

OBJECTIVES = choices("objective")
STEPS, CLIP = 3, 0.01
CASES = [(name, pieces) for name in ("ddp", "fsdp") for pieces in (None, 2)]


def _module(name: str, microbatch: int | None = None, **settings: Any) -> ContrastiveModule:
    module = small_module(name, microbatch=microbatch, **settings)
    remember(module)
    # A rate at which three steps change the weights.
    module.make_optimizer = partial(instantiate(composed().optimizer), lr=0.01)
    module.make_scheduler = partial(instantiate(composed().scheduler), warmup_steps=1)
    return module


def _in_float32(strategy: str = "auto", microbatch: int | None = None) -> Trained:
    module = _module("cyclip", microbatch).float()
    # AdamW would turn a gradient that is zero but for rounding into a whole step.
    module.make_optimizer = partial(torch.optim.SGD, lr=0.1, momentum=0.9)
    return trained(module, [small_batch()] * STEPS, strategy, CLIP)


def _on_rank() -> tuple[list[dict[tuple[str, int | None], Trained]], list[Trained]]:
    with as_torchrun():
        single = [_in_float32(*case) for case in CASES]
        return [
            {
                (strategy, pieces): trained(
                    _module(name, pieces), [small_batch(name)] * STEPS, strategy, CLIP
                )
                for strategy, pieces in CASES
            }
            for name in OBJECTIVES
        ], single


@pytest.fixture(scope="module")
def ranks() -> list[Any]:
    return run_distributed(_on_rank, 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", OBJECTIVES)
def test_terms_gradient_norms_and_weights_are_those_of_one_process(ranks, name) -> None:
    """After three steps with clipping and weight decay, with whole batches and in pieces."""
    module = _module(name)
    before = {n: x.clone() for n, x in module.state_dict().items()}
    expected = trained(module, [small_batch(name)] * STEPS, clip=CLIP)
    assert any(not torch.equal(x, before[n]) for n, x in expected.weights.items())
    assert min(step["gradient_norm"] for step in expected.steps) > CLIP
    for rank, _ in ranks:
        for case in CASES:
            found = rank[OBJECTIVES.index(name)][case]
            assert len(found.steps) == STEPS
            for step, wanted in zip(found.steps, expected.steps, strict=True):
                assert step == pytest.approx(wanted, rel=1e-10, abs=1e-13), case
            torch.testing.assert_close(found.weights, expected.weights, rtol=0, atol=1e-10)


@pytest.mark.slow
def test_in_float32_they_are_equal_to_rounding(ranks) -> None:
    expected = _in_float32()
    for _, single in ranks:
        for found in single:
            for step, wanted in zip(found.steps, expected.steps, strict=True):
                assert step == pytest.approx(wanted, rel=1e-5)
            torch.testing.assert_close(found.weights, expected.weights, rtol=0, atol=1e-6)


def test_a_type_that_is_none_is_named() -> None:
    with pytest.raises(ValueError, match=r"trainer\.strategy\.param_dtype=half"):
        FullySharded(param_dtype="half")


def test_a_batch_norm_has_no_parameters_in_half_precision() -> None:
    module = small_module(architecture="resnet")
    with pytest.raises(ValueError, match="a BatchNorm needs parameters"):
        FullySharded(param_dtype="bfloat16").shard(module)
