"""Commands begin without what they do not use, and it is there when they do."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import pytest

BEGIN = "from cyclip_pl.lean_imports import import_libraries; import_libraries(compiler={})"
BROUGHT_ALONG = {"wandb", "scipy.signal", "matplotlib", "transformers", "torch._dynamo", "sympy"}


def _modules_after(code: str) -> set[str]:
    code += "\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.slow
def test_the_libraries_are_whole_without_what_they_bring_along() -> None:
    optimizer = "import torch; torch.optim.LBFGS([torch.ones(3)])"
    loaded = _modules_after(f"{BEGIN.format(False)}; {optimizer}")
    assert {"timm.utils.summary", "torchmetrics.classification", "open_clip.hf_model"} <= loaded
    assert not BROUGHT_ALONG & loaded


USES = {
    "scipy.signal": "import scipy.signal; scipy.signal.windows.hamming(3)",
    "matplotlib": (
        "import matplotlib; matplotlib.use('Agg')\n"
        "metric = torchmetrics.classification.BinaryAccuracy()\n"
        "metric.update(torch.ones(2), torch.ones(2)); metric.plot()"
    ),
    "transformers": (
        "from open_clip import hf_model\n"
        "config = hf_model.AutoConfig.for_model('bert', hidden_size=8, num_hidden_layers=1,"
        " num_attention_heads=1, intermediate_size=8, vocab_size=9)\n"
        "tower = hf_model.HFTextEncoder('', 4, config=config, pooler_type='mean_pooler',"
        " proj_type='linear')\n"
        "assert tower(torch.ones(2, 3, dtype=torch.long)).shape == (2, 4)"
    ),
    "torch._dynamo": (
        "from importlib import import_module\n"
        "import_module('torchvision.ops.roi_align').is_compile_supported('cpu')"
    ),
    "wandb": "import wandb",
}


@pytest.mark.slow
@pytest.mark.parametrize("package", USES)
def test_it_comes_with_its_first_use(package: str) -> None:
    if find_spec(package.partition(".")[0]) is None:
        pytest.skip(f"{package} is not installed")
    code = "import torch, torchvision, torchmetrics\n"
    assert package in _modules_after(f"{BEGIN.format(False)}\n{code}{USES[package]}")


@pytest.mark.slow
def test_a_command_that_may_compile_keeps_the_marks_of_what_is_not_compiled() -> None:
    # torch.compile leaves out what timm marks: the method is wrapped.
    code = "from timm.models.naflexvit import NaFlexEmbeds as E\n"
    code += "assert hasattr(E._apply_learned_naflex_pos_embed, '__wrapped__') is {}"
    _modules_after(f"{BEGIN.format(True)}\n{code.format(True)}")
    _modules_after(f"{BEGIN.format(False)}\n{code.format(False)}")


@pytest.mark.slow
def test_an_evaluation_does_without_lightning() -> None:
    loaded = _modules_after("import cyclip_pl.evaluating, cyclip_pl.evaluation.protocols.zero_shot")
    assert "lightning" not in loaded and "pytorch_lightning" not in loaded
