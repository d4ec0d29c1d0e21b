from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from cyclip_pl.encoders.dual import DualEncoder
from cyclip_pl.models.filled import filled
from tests.helpers.architectures import RESNET, TIMM, VIT


@pytest.mark.parametrize("architecture", [RESNET, VIT, TIMM], ids=["resnet", "vit", "timm"])
@pytest.mark.parametrize("sketch", [True, False])
def test_all_of_a_network_is_as_in_the_source(architecture, sketch) -> None:
    """Also what its weights do not hold: attention masks, pixel means."""
    torch.manual_seed(0)
    source = DualEncoder(architecture, 32)
    made = filled(lambda: DualEncoder(architecture, 32), source.state_dict(), sketch)
    for kind in ("named_parameters", "named_buffers"):
        wanted, found = dict(getattr(source, kind)()), dict(getattr(made, kind)())
        assert wanted.keys() == found.keys()
        for name, tensor in wanted.items():
            assert torch.equal(tensor, found[name]) and tensor.stride() == found[name].stride()
    assert "mean" not in source.state_dict()
    assert torch.equal(made.mean, source.mean)


def test_nothing_random_is_drawn() -> None:
    """It would take most of the time, and change what the caller draws next."""

    def build() -> nn.Module:
        layers = nn.ModuleList([nn.Linear(9, 9), nn.Embedding(9, 9), nn.Conv2d(3, 3, 3)])
        layers.append(nn.ParameterList([torch.randn(2, 3) * 3, torch.randn(2, 3)]))
        layers.append(nn.MultiheadAttention(8, 2)).append(nn.BatchNorm1d(9))
        fills = nn.init.kaiming_normal_, nn.init.xavier_normal_, nn.init.trunc_normal_
        for fill in (*fills, nn.init.normal_, nn.init.uniform_, nn.init.orthogonal_):
            fill(layers[0].weight)
        return layers

    weights = build().state_dict()
    before = torch.get_rng_state()
    made = filled(build, weights)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(value, weights[name]) for name, value in made.state_dict().items())


@pytest.mark.parametrize("change", ["missing", "left over", "shape"])
def test_weights_that_are_not_its_own_are_refused(change: str) -> None:
    weights = dict(nn.Linear(3, 2).state_dict())
    if change == "missing":
        del weights["bias"]
    else:
        weights["more" if change == "left over" else "bias"] = torch.zeros(5)
    for sketch in (True, False):
        with pytest.raises(RuntimeError):
            filled(lambda: nn.Linear(3, 2), weights, sketch)


@pytest.mark.slow
def test_a_network_is_filled_without_the_compiler() -> None:
    """Of torch: it takes seconds to import, for the first arithmetic on the meta device."""
    code = (
        "from cyclip_pl.lean_imports import import_libraries; import_libraries(compiler=False)\n"
        "import sys; from cyclip_pl.encoders.dual import DualEncoder\n"
        "from cyclip_pl.models.filled import filled\n"
        "from tests.helpers.architectures import RESNET, TIMM, VIT\n"
        "for name in (RESNET, VIT, TIMM):\n"
        "    weights = DualEncoder(name, 32).state_dict()\n"
        "    filled(lambda: DualEncoder(name, 32), weights)\n"
        "assert not {'torch._dynamo', 'sympy'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
