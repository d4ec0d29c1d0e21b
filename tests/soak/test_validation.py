"""Whole commands: two processes validate as one does."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.cheap import cheap
from tests.helpers.processes import ROOT

pytestmark = pytest.mark.soak


@pytest.mark.parametrize("objective", ["cyclip", "uniclip"])
def test_two_processes_give_the_numbers_of_one(world: Path, tmp_path: Path, objective: str) -> None:
    """A learning rate of 0 keeps the weights, and this tower has no statistics."""
    shutil.copytree(world / "train", tmp_path / "held")
    settings = [
        *cheap(world, 1),
        "encoder.architecture.vision_cfg.timm_model_name=test_convnext",
        f"objective={objective}",
        "optimizer.lr=0",
        "trainer.precision=32-true",
        "evaluation=[]",
        f"data.val.shards={tmp_path}/held",
        "data.val.batch_size=24",
    ]
    found = []
    for name, more in (
        ("one", []),
        ("two", ["trainer=ddp_cpu", "data.batch_size=12"]),
        ("workers", ["trainer=ddp_cpu", "data.batch_size=12", "data.workers=2"]),
        ("sharded", ["trainer=fsdp_cpu", "data.batch_size=12", "microbatch=5"]),
    ):
        command = [sys.executable, "train.py", *settings, *more, f"hydra.run.dir={tmp_path}/{name}"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stdout + done.stderr
        metrics = json.loads((tmp_path / name / "metrics.json").read_text())
        found.append({k: v for k, v in metrics.items() if k.startswith("val/")})
    assert len(found[0]) == {"cyclip": 4, "uniclip": 2}[objective]
    for other in found[1:]:
        assert other == pytest.approx(found[0], rel=1e-5)
