from __future__ import annotations

import torch

from cyclip_pl.optimization.groups import decayed_names, grouped, parameter_groups
from cyclip_pl.optimization.rates import Rates
from tests.helpers.modules import small_module


def test_weight_decay_is_for_matrices_alone() -> None:
    module = small_module("cyclip")
    names = {id(p): n for n, p in module.named_parameters()}
    decayed, rest = parameter_groups(module, module.decayed)
    assert rest.keys() == {"params", "weight_decay"} and rest["weight_decay"] == 0.0
    assert decayed.keys() == {"params"}, "no name, so that the logged rates keep theirs"
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


def test_matrices_stand_apart_for_those_who_ask() -> None:
    module = small_module("cyclip")
    matrices = {f"encoder.{name}" for name in module.encoder.hidden_matrices()}
    groups = grouped(module, module.decayed, matrices=matrices)
    of = {group.settings["name"]: group for group in groups}
    assert of.keys() == {"matrices", "others", "others_no_decay"}
    assert set(of["matrices"].names) == matrices
    assert of["matrices"].settings == {"name": "matrices", "use_fallback": False}
    assert "weight_decay" not in of["others"].settings
    assert of["others_no_decay"].settings["weight_decay"] == 0.0
    both = grouped(module, module.decayed, Rates(text=0.5), matrices)
    names = [group.settings["name"] for group in both]
    assert {"image_matrices", "text_matrices", "text_others", "text_others_no_decay"} < set(names)
    listed = [name for group in both for name in group.names]
    assert sorted(listed) == sorted(name for name, _ in module.named_parameters())


def test_what_is_frozen_is_in_no_group() -> None:
    module = small_module("cyclip", lock_image=True)
    for rates in (None, Rates(image=0.1, image_layer_decay=0.5)):
        names = [n for group in grouped(module, module.decayed, rates) for n in group.names]
        assert not any(name.startswith("encoder.model.visual") for name in names)
        assert "encoder.model.token_embedding.weight" in names
