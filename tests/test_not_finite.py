"""Whole runs whose loss, gradients or features become NaN: good weights stay."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from cyclip_pl.training import train
from tests.helpers.composed import composed
from tests.helpers.world import shrunk

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
SPOIL = "+callbacks.spoil._target_=tests.helpers.spoil.Spoil"

VISION = "{image_size: 32, layers: 1, width: 32, head_width: 16, patch_size: 8}"
SMALL = [
    "~encoder.architecture.vision_cfg",
    f"+encoder.architecture.vision_cfg={VISION}",
    "encoder.architecture.text_cfg.width=16",
]


def _settings(world: Path, *overrides: str) -> list[str]:
    quick = ["evaluation=[]", "logger=csv", "trainer.max_steps=6", "callbacks.best.monitor=null"]
    data = [o for o in shrunk(world) if not o.startswith("evaluation.")]
    return [*data, *SMALL, *quick, "callbacks.last.every_n_steps=2", SPOIL, *overrides]


def _saved(folder: Path) -> dict[str, dict[str, Any]]:
    paths = (folder / "checkpoints").glob("*.ckpt") if folder.exists() else ()
    found = {path.name: torch.load(path, weights_only=True) for path in paths}
    for name, checkpoint in found.items():
        optimizer = checkpoint["optimizer_states"][0]["state"].values()
        states = [checkpoint["state_dict"], *optimizer]
        tensors = [x for state in states for x in state.values() if isinstance(x, torch.Tensor)]
        assert all(x.isfinite().all() for x in tensors), name
    return found


def _steps(folder: Path) -> dict[str, int]:
    return {name: checkpoint["global_step"] for name, checkpoint in _saved(folder).items()}


@pytest.mark.parametrize(
    "overrides",
    [
        ["+callbacks.spoil.how=loss"],
        ["+callbacks.spoil.how=gradient", "optimizer.fused=false"],
        ["+callbacks.spoil.how=sample", "trainer.precision=bf16-mixed", "microbatch=8"],
        ["+callbacks.spoil.how=sample", "objective=uniclip", "optimizer.fused=null"],
        ["+callbacks.spoil.how=loss", "objective=nclip"],
    ],
    ids=lambda overrides: "-".join(o.rpartition("=")[2] for o in overrides),
)
def test_steps_that_are_not_finite_are_skipped_and_counted(world, tmp_path, overrides) -> None:
    settings = _settings(world, "+callbacks.spoil.steps=[3,6]", "callbacks.finite.skip=2")
    metrics = train(composed(*settings, *overrides, run_dir=tmp_path))
    assert metrics["train/nonfinite_steps"] == 2
    assert _steps(tmp_path) == {"last.ckpt": 6, "step_4.ckpt": 4}
    weights = torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)
    steps = {s["step"].item() for s in weights["optimizer_states"][0]["state"].values()}
    assert steps == {4}
    rows = list(csv.DictReader((tmp_path / "csv" / "metrics.csv").open()))
    counts = [row["train/nonfinite_steps"] for row in rows if row["train/nonfinite_steps"]]
    assert [float(n) for n in counts] == [0, 0, 1, 1, 1, 2]


# Before a save between logged steps; and behind the last logged step, at the end.
@pytest.mark.parametrize(("step", "left"), [(3, {"last.ckpt": 2}), (6, {"last.ckpt": 4})])
def test_it_stops_the_run_before_anything_is_saved(world, tmp_path, step, left) -> None:
    overrides = [f"+callbacks.spoil.steps=[{step}]", "trainer.log_every_n_steps=50"]
    with pytest.raises(ValueError, match=f"^step {step}: total is not finite with the samples"):
        train(composed(*_settings(world, *overrides), run_dir=tmp_path))
    steps = _steps(tmp_path)
    assert {name: steps[name] for name in left} == left
    assert not (tmp_path / "metrics.json").exists()


def test_weights_that_overflow_are_not_saved(world, tmp_path) -> None:
    """A finite gradient makes infinite weights: the learning rate times the decay."""
    overrides = ["optimizer.lr=1e38", "optimizer.weight_decay=1e3", "scheduler.warmup_steps=0"]
    settings = _settings(world, *overrides, "+callbacks.spoil.steps=[]", "trainer.max_steps=1")
    with pytest.raises(ValueError, match=r"last.ckpt: not written, because state_dict\..* step 1;"):
        train(composed(*settings, run_dir=tmp_path))
    assert _steps(tmp_path) == {}


@pytest.mark.parametrize("skip", [0, pytest.param(1, marks=pytest.mark.soak)])
def test_two_ranks_decide_alike(world, tmp_path, skip) -> None:
    """The second rank alone has an infinite gradient."""
    overrides = [
        "trainer=ddp_cpu",
        "data.batch_size=12",
        "data.train.resampled=true",
        "+data.train.samples_per_epoch=96",
        "+callbacks.spoil.steps=[3]",
        "+callbacks.spoil.how=gradient",
        "+callbacks.spoil.rank=1",
        f"callbacks.finite.skip={skip}",
        f"hydra.run.dir={tmp_path}/run",
    ]
    settings = [o for o in _settings(world, *overrides) if "accelerator" not in o]
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "train.py", *settings],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    output = done.stdout + done.stderr
    steps = _steps(tmp_path / "run")
    if skip:
        assert done.returncode == 0, output
        assert steps == {"last.ckpt": 6, "step_4.ckpt": 4}
    else:
        assert done.returncode == 1, output
        assert "step 3: gradient_norm is not finite" in output
        assert steps == {"last.ckpt": 2}
