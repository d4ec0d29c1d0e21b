from __future__ import annotations

from functools import partial

import pytest
import timm
import torch
from timm.optim import param_groups_layer_decay

from cyclip_pl.encoders.dual import DualEncoder
from cyclip_pl.optimization.making import Maker, build, for_rates
from cyclip_pl.optimization.muon import Muon
from cyclip_pl.optimization.rates import Rates
from tests.helpers.architectures import TEXT
from tests.helpers.modules import small_batch, small_module
from tests.helpers.own_parts import LetterEncoder

TIMM_VIT = {
    "embed_dim": 12,
    "vision_cfg": {"timm_model_name": "test_vit", "timm_proj": "linear", "image_size": 160},
    "text_cfg": TEXT,
}


def test_each_part_has_its_factor_and_each_layer_its_power() -> None:
    module = small_module("uniclip")
    rates = Rates(image=0.5, text=2.0, projector=3.0, objective=10.0, image_layer_decay=0.1)
    parts = rates.parts(module)
    assert parts.keys() == dict(module.named_parameters()).keys()
    visual = "encoder.model.visual"
    expected = {
        f"{visual}.conv1.weight": ("image_00", 0.5e-3),
        f"{visual}.transformer.resblocks.0.ln_1.weight": ("image_01", 0.5e-2),
        f"{visual}.transformer.resblocks.1.attn.in_proj_weight": ("image_02", 0.5e-1),
        f"{visual}.ln_post.bias": ("image_02", 0.5e-1),
        f"{visual}.proj": ("image_03", 0.5),
        "encoder.model.token_embedding.weight": ("text", 2.0),
        "encoder.model.text_projection": ("text", 2.0),
    }
    for name, (part, factor) in expected.items():
        assert parts[name] == (part, pytest.approx(factor)), name
    assert {parts[f"projector.{n}"] for n, _ in module.projector.named_parameters()} == {
        ("projector", 3.0)
    }
    assert {parts[f"objective.{n}"] for n, _ in module.objective.named_parameters()} == {
        ("objective", 10.0)
    }
    optimizer = build(partial(torch.optim.AdamW, lr=2.0), module, rates)
    rate = {g["name"]: g["lr"] for g in optimizer.param_groups}
    assert rate["image_00"] == pytest.approx(1e-3) and rate["objective_no_decay"] == 20.0
    assert len(rate) == len(optimizer.param_groups), "names for the logged rates are unique"


def test_layers_of_a_timm_network_decay_as_timms_own() -> None:
    encoder = DualEncoder(TIMM_VIT, image_size=160)
    module = torch.nn.ModuleDict(
        {"encoder": encoder, "projector": torch.nn.Identity(), "objective": torch.nn.Identity()}
    )
    parts = Rates(image_layer_decay=0.7).parts(module)
    # timm's with a classifier, which stands where the projection does.
    theirs = timm.create_model("test_vit", num_classes=3)
    names = {id(p): name for name, p in theirs.named_parameters()}
    seen = 0
    for group in param_groups_layer_decay(theirs, layer_decay=0.7):
        for p in group["params"]:
            name = names[id(p)]
            if name.startswith("head."):
                assert group["lr_scale"] == 1.0
                continue
            factor = parts[f"encoder.model.visual.trunk.{name}"][1]
            assert factor == pytest.approx(group["lr_scale"]), name
            seen += 1
    trunk = encoder.model.visual.trunk
    assert seen == len(list(trunk.parameters()))
    assert parts["encoder.model.visual.head.proj.weight"][1] == 1.0


def _offsets_after(steps: int, rates: Rates) -> tuple[torch.Tensor, torch.Tensor]:
    """How far UniCLIP's scalars move, and a weight of the tower."""
    module, batch = small_module("uniclip"), small_batch("uniclip")
    make = partial(torch.optim.AdamW, lr=1e-3, eps=1e-12, weight_decay=0.0)
    optimizer = build(make, module, rates)
    tower = module.encoder.model.visual.conv1.weight
    flat = [p.detach().clone() for p in (*module.objective.parameters(), tower)]
    for _ in range(steps):
        optimizer.zero_grad()
        module.objective(module.embed(batch))["total"].backward()
        optimizer.step()
    moved = [
        (p.detach() - was).abs()
        for p, was in zip((*module.objective.parameters(), tower), flat, strict=True)
    ]
    return torch.cat([x.flatten() for x in moved[:-1]]), moved[-1]


def test_scalars_at_ten_times_the_rate_move_ten_times_as_far() -> None:
    """UniCLIP's offsets: Adam moves a scalar by about the rate per step, whatever its gradient."""
    (plain, tower), (faster, same) = (
        _offsets_after(1, rates) for rates in (Rates(), Rates(objective=10.0))
    )
    moving = plain > 0
    assert moving.sum() >= 2
    torch.testing.assert_close(
        plain[moving], torch.full_like(plain[moving], 1e-3), rtol=1e-3, atol=0
    )
    torch.testing.assert_close(faster, 10 * plain, rtol=1e-3, atol=0)
    torch.testing.assert_close(same, tower, rtol=1e-6, atol=0)
    plain, faster = (_offsets_after(5, r)[0] for r in (Rates(), Rates(objective=10.0)))
    torch.testing.assert_close(faster[moving], 10 * plain[moving], rtol=0.2, atol=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image": -1.0}, r"^rates\.image=-1\.0: must be a number at least 0$"),
        ({"text_layer_decay": 1.5}, r"^rates\.text_layer_decay=1\.5: must be a number above 0 and"),
    ],
)
def test_a_factor_out_of_range(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Rates(**settings)


def test_an_encoder_of_ones_own_says_its_layers_or_has_one_rate() -> None:
    module = torch.nn.ModuleDict({"encoder": LetterEncoder(32, 4)})
    module["projector"] = module["objective"] = torch.nn.Identity()
    build(partial(torch.optim.AdamW, lr=1.0), module)
    with pytest.raises(ValueError, match=r"^rates: LetterEncoder has no method layers\(\)"):
        build(partial(torch.optim.AdamW, lr=1.0), module, Rates(text=0.1))


def test_a_state_of_other_groups_is_refused_in_a_line() -> None:
    module = small_module("cyclip")
    make = partial(torch.optim.AdamW, lr=1.0)
    state = build(make, module).state_dict()
    checkpoint = {"optimizer_states": [state]}
    for_rates(checkpoint, make, module, Rates())
    assert checkpoint["optimizer_states"] == [state]
    *groups, last = state["param_groups"]  # as before the objective had a group of its own
    groups[-1]["params"] += last["params"]
    older = {"optimizer_states": [{**state, "param_groups": groups}]}
    with pytest.raises(ValueError, match="^resume: .* other parameter groups"):
        for_rates(older, make, module, Rates())


def test_a_state_of_muon_follows_other_rates_by_name() -> None:
    """Its groups come in another order than the module's parameters."""
    module = small_module("cyclip")
    make = Maker(partial(Muon, fused=False))
    optimizer = build(make, module)
    for p in module.parameters():
        p.grad = torch.full_like(p, 1e-3).add_(p)
    optimizer.step()
    checkpoint = {"optimizer_states": [optimizer.state_dict()]}
    rates = Rates(text=0.5, objective=2.0)
    for_rates(checkpoint, make, module, rates)
    other = build(make, module, rates)
    other.load_state_dict(checkpoint["optimizer_states"][0])
    assert len(other.param_groups) > len(optimizer.param_groups)
    for p in module.parameters():
        assert other.state[p].keys() == optimizer.state[p].keys()
        for name, x in optimizer.state[p].items():
            assert torch.equal(torch.as_tensor(other.state[p][name]), torch.as_tensor(x)), name
