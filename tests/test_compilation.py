"""`compile=…`: the same training, and one line for what cannot work."""

from __future__ import annotations

import shutil

import pytest
import torch
import torch._inductor.config
from torch import nn
from torch._dynamo.utils import counters

from cyclip_pl.compilation import compile_parts
from cyclip_pl.errors import one_line
from cyclip_pl.models.load import load
from cyclip_pl.training import train
from tests.helpers.architectures import VIT
from tests.helpers.composed import choices, composed
from tests.helpers.modules import small_batch, small_module
from tests.helpers.world import shrunk

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _forget():
    torch.compiler.reset()
    counters.clear()
    yield
    torch.compiler.reset()


def _step(module, batch):
    terms = module.objective(module.embed(batch))
    terms["total"].backward()
    gradients = {n: p.grad for n, p in module.named_parameters() if p.grad is not None}
    return {k: v.detach() for k, v in terms.items()}, gradients


@pytest.mark.parametrize("name", choices("objective"))
def test_every_objective_is_traced_whole_and_stays_the_same(name) -> None:
    batch = small_batch(name)
    expected = _step(small_module(name), batch)
    module = small_module(name)
    # The backend runs what was traced as it is; fullgraph refuses to leave the graph.
    compile_parts([module.encoder, module.projector], {"backend": "eager", "fullgraph": True})
    actual = _step(module, batch)
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-12)
    assert counters["stats"]["unique_graphs"] == 2


@pytest.mark.parametrize("architecture", ["resnet", "timm"])
def test_micro_batches_go_through_it_as_well(architecture) -> None:
    batch = small_batch(n=11)
    expected = _step(small_module(architecture=architecture, microbatch=4), batch)
    module = small_module(architecture=architecture, microbatch=4)
    compile_parts([module.encoder, module.projector], {"backend": "eager"})
    actual = _step(module, batch)
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.skipif(shutil.which("g++") is None, reason="TorchInductor needs a C++ compiler")
def test_a_run_with_torchs_own_backend(world, tmp_path) -> None:
    metrics = []
    for name, setting in (("compiled", "true"), ("plain", "false")):
        config = composed(*shrunk(world), f"compile={setting}", run_dir=tmp_path / name)
        config.encoder.architecture = VIT  # few kernels to compile
        metrics.append(train(config))
    assert metrics[0].keys() == metrics[1].keys()
    # The names of the weights are those of any run.
    weights = [load(tmp_path / name).state_dict() for name in ("compiled", "plain")]
    assert weights[0].keys() == weights[1].keys()
    torch.testing.assert_close(weights[0], weights[1], rtol=0.1, atol=1e-2)


@pytest.mark.parametrize("setting", [None, False])
def test_without_it_nothing_is_compiled(setting) -> None:
    part = nn.Linear(2, 2)
    compile_parts([part], setting)
    assert part._compiled_call_impl is None


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            "max-autotune",
            "compile=max-autotune: must be true, false or a mapping with arguments of",
        ),
        ({"modes": "default"}, "compile={'modes': 'default'}: must be true, false or a mapping"),
        ({"mode": "fastest"}, "compile={'mode': 'fastest'}: "),
        ({"backend": "fast"}, "compile={'backend': 'fast'}: "),
    ],
)
def test_what_cannot_work_is_refused(setting, message) -> None:
    with pytest.raises(ValueError, match=message):
        compile_parts([nn.Linear(2, 2)], setting)


def test_a_machine_without_a_compiler_is_told_in_one_line(world, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(torch._inductor.config.cpp, "cxx", (None, "no-such-compiler"))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    config = composed(*shrunk(world), "compile=true", run_dir=tmp_path / "run")
    config.encoder.architecture = VIT
    with pytest.raises(Exception) as caught:  # whichever torch raises
        train(config)
    line = one_line(caught.value, "train")
    assert line.startswith("compile: ") and "No working C++ compiler found" in line
    assert line.endswith("; set compile=false") and "\n" not in line
