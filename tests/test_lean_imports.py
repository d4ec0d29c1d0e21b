"""Commands begin without what they do not use."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import pytest


def _modules_after(code: str) -> set[str]:
    code += "; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.slow
def test_timm_is_whole_and_wandb_can_still_be_imported() -> None:
    loaded = _modules_after("from cyclip_pl.lean_imports import import_timm; import_timm()")
    assert {"timm", "timm.utils.summary"} <= loaded and "wandb" not in loaded
    if find_spec("wandb") is not None:
        both = "from cyclip_pl.lean_imports import import_timm; import_timm(); import wandb"
        assert {"timm", "wandb.sdk"} <= _modules_after(both)


@pytest.mark.slow
def test_an_evaluation_does_without_lightning() -> None:
    loaded = _modules_after("import cyclip_pl.evaluating, cyclip_pl.evaluation.protocols.zero_shot")
    assert "lightning" not in loaded and "pytorch_lightning" not in loaded
