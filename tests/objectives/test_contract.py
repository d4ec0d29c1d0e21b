"""Every objective: composes, states its arguments, has its test, and is exact over ranks."""

import pytest
import torch
from hydra.utils import instantiate

from cyclip_pl import distributed
from cyclip_pl.objectives.base import Objective
from cyclip_pl.types import Embeddings
from tests.helpers.composed import choices, composed
from tests.helpers.contract import assert_has_test, assert_keys_are_arguments
from tests.helpers.distributed import run_distributed

NAMES = choices("objective")


@pytest.mark.parametrize("name", NAMES)
def test_config(name):
    config = composed(f"objective={name}").objective
    assert_keys_are_arguments(config)
    assert_has_test(config, "objectives")
    objective = instantiate(config)
    assert isinstance(objective, Objective)
    assert all(p.ndim > 0 for p in objective.parameters()), "FSDP shards no scalars"


def _inputs(views: int = 1) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, views, 12, 5, dtype=torch.float64, generator=generator)
    return list(torch.nn.functional.normalize(x, dim=-1))


def _run(name: str, image: torch.Tensor, text: torch.Tensor):
    objective = instantiate(composed(f"objective={name}").objective).double()
    image, text = image.clone().requires_grad_(), text.clone().requires_grad_()
    terms = objective(Embeddings(image, text))
    terms["total"].backward()
    scalars = [p.grad for p in objective.parameters()]
    return {k: v.detach() for k, v in terms.items()}, [image.grad, text.grad], scalars


def _on_rank(image, text):
    n = image.shape[1] // distributed.world_size()
    mine = slice(distributed.rank() * n, (distributed.rank() + 1) * n)
    return {name: _run(name, image[:, mine], text[:, mine]) for name in NAMES}


def test_two_ranks_are_one_process():
    inputs = _inputs()
    ranks = run_distributed(_on_rank, 2, *inputs)
    for name in NAMES:
        terms, rows, scalars = _run(name, *inputs)
        assert torch.isfinite(terms["total"]), name
        for rank in ranks:
            torch.testing.assert_close(rank[name][0], terms, rtol=1e-10, atol=1e-12)
        for i in range(2):
            gathered = torch.cat([rank[name][1][i] for rank in ranks], dim=1) / 2
            torch.testing.assert_close(gathered, rows[i], rtol=1e-8, atol=1e-11)
        for i, expected in enumerate(scalars):
            mean = sum(rank[name][2][i] for rank in ranks) / 2
            torch.testing.assert_close(mean, expected, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("name", NAMES)
def test_views_are_averaged_over_their_pairs(name):
    image, text = _inputs(views=2)
    both, _, _ = _run(name, image, text)
    pairs = [_run(name, image[i : i + 1], text[j : j + 1])[0] for i in (0, 1) for j in (0, 1)]
    for term, value in both.items():
        torch.testing.assert_close(value, torch.stack([p[term] for p in pairs]).mean())
