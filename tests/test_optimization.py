from __future__ import annotations

import pytest
import torch

from cyclip_pl.optimization import cosine, decayed_names, parameter_groups
from tests.helpers.modules import small_module


def test_weight_decay_is_for_matrices_alone() -> None:
    module = small_module("cyclip")
    names = {id(p): n for n, p in module.named_parameters()}
    decayed, rest = parameter_groups(module, module.decayed)
    assert rest["weight_decay"] == 0.0
    assert "weight_decay" not in decayed
    rest_names = {names[id(p)] for p in rest["params"]}
    assert "objective.logit_scale" in rest_names
    assert all(
        n.split(".")[-1] in ("weight", "bias", "in_proj_bias", "class_embedding", "logit_scale")
        for n in rest_names
    )
    assert "encoder.model.token_embedding.weight" in {names[id(p)] for p in decayed["params"]}
    assert len(decayed["params"]) + len(rest["params"]) == len(names)


def test_names_are_found_behind_wrappers() -> None:
    class Wrapper(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self._fsdp_wrapped_module = torch.nn.Linear(2, 2)

    inner = torch.nn.Linear(2, 2)
    decayed, rest = parameter_groups(Wrapper(), decayed_names(inner))
    assert [p.ndim for p in decayed["params"]] == [2]
    assert [p.ndim for p in rest["params"]] == [1]


@pytest.mark.parametrize(
    ("step", "expected"),
    [(0, 0.1), (9, 1.0), (10, 1.0), (60, 0.55), (110, 0.1), (500, 0.1)],
)
def test_cosine_with_warmup_in_steps(step, expected) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = cosine(optimizer, 110, warmup_steps=10, final_fraction=0.1)
    assert schedule.lr_lambdas[0](step) == pytest.approx(expected)


def test_a_run_without_end_has_no_cosine() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    with pytest.raises(ValueError, match="set trainer.max_steps"):
        cosine(optimizer, float("inf"), warmup_steps=10)
