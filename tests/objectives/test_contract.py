"""Every objective: composes with what it needs, states its arguments, has its test, is exact."""

from __future__ import annotations

import pytest
import torch
from hydra.utils import instantiate
from torch import Tensor

from cyclip_pl.objectives.base import Objective
from cyclip_pl.objectives.clip import CLIP
from cyclip_pl.objectives.cyclip_augmented import CyCLIPAugmented
from cyclip_pl.objectives.uniclip import UniCLIP
from tests.helpers.composed import choices, composed
from tests.helpers.contract import assert_has_test, assert_keys_are_arguments
from tests.helpers.distributed import run_distributed
from tests.helpers.embeddings import embeddings, mapped, of_rank, run
from tests.helpers.formulas import relative_error

NAMES = choices("objective")


def _objective(name: str) -> Objective:
    return instantiate(composed(f"objective={name}").objective)


@pytest.mark.parametrize("name", NAMES)
def test_config(name) -> None:
    config = composed(f"objective={name}").objective
    assert_keys_are_arguments(config)
    assert_has_test(config, "objectives")
    objective = instantiate(config)
    assert isinstance(objective, Objective)


@pytest.mark.parametrize("name", NAMES)
def test_its_yaml_picks_what_serves_it(name) -> None:
    config = composed(f"objective={name}")
    views = instantiate(config.views)
    projector = instantiate(config.projector)(features=8)
    instantiate(config.objective).needs.check(views, projector)
    projector.check(views)


@pytest.mark.parametrize("name", NAMES)
def test_what_the_user_types_wins(name) -> None:
    config = composed(f"objective={name}", "projector=linear", "views=plain")
    assert config.projector._target_.endswith(".Linear")
    assert config.views._target_.endswith(".Plain")


Results = dict[str, tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]]


def _on_rank(objectives: dict[str, Objective]) -> Results:
    return {
        name: run(objective, of_rank(embeddings(objective.needs)))
        for name, objective in objectives.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize("world", [2, 3])
def test_ranks_are_one_process(world) -> None:
    objectives = {name: _objective(name).double() for name in NAMES}
    objectives["masked"] = CLIP(mask_equal_captions=True).double()
    objectives["masked, augmented"] = CyCLIPAugmented(mask_equal_captions=True).double()
    for choice in ("shared", "domain"):
        objectives[f"masked, {choice}"] = UniCLIP("balanced", choice, True).double()
    ranks = run_distributed(_on_rank, world, objectives)
    for name, objective in objectives.items():
        terms, rows, parameters = run(objective, embeddings(objective.needs))
        assert torch.isfinite(terms["total"]), name
        assert parameters.keys() == dict(objective.named_parameters()).keys(), name
        for rank in ranks:
            torch.testing.assert_close(rank[name][0], terms, rtol=1e-10, atol=1e-12)
        # Rows belong to one rank each; a parameter's gradient is averaged over the ranks.
        gathered = {k: torch.cat([r[name][1][k] for r in ranks], dim=1) / world for k in rows}
        torch.testing.assert_close(gathered, rows, rtol=1e-8, atol=1e-11)
        mean = {k: sum(r[name][2][k] for r in ranks) / world for k in parameters}
        torch.testing.assert_close(mean, parameters, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("name", NAMES)
def test_more_views_than_it_needs(name) -> None:
    objective = _objective(name)
    more = type(objective.needs)(objective.needs.image_views + 1, objective.needs.text_views + 1)
    terms, rows, _ = run(objective.double(), embeddings(more))
    assert all(torch.isfinite(value) for value in terms.values())
    assert all(torch.isfinite(gradient).all() for gradient in rows.values())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", NAMES)
def test_precision_under_autocast(name, dtype) -> None:
    """Values and gradients against float64: within 1e-5 from float32 rows, 1e-2 from bfloat16."""
    objective = _objective(name).double()
    exact = embeddings(objective.needs, n=64, width=32)
    wide = run(objective, exact)
    narrow = run(objective.float(), mapped(exact, lambda x: x.to(dtype)), autocast=True)
    for expected, actual in zip(wide, narrow, strict=True):
        for key, value in expected.items():
            error = relative_error(actual[key], value)
            assert error < (1e-5 if dtype == torch.float32 else 1e-2), (key, error)
