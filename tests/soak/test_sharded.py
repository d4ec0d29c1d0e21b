"""Sharded checkpoints of real commands: read by all that reads checkpoints, and through kills."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import pytest
import torch

import cyclip_pl
from cyclip_pl.checkpoints.files import checkpoint_file, read_checkpoint, step_of
from tests.helpers.processes import ROOT, Process
from tests.helpers.world import shrunk

pytestmark = pytest.mark.soak

KILLS = 6
SHARDED = ("trainer=fsdp_cpu", "callbacks.last.sharded=true")


def _run(*command: str) -> str:
    process = Process(sys.executable, *command)
    assert process.status() == 0, process.output()
    return process.output()


def _train(world: Path, folder: Path, steps: int, *more: str) -> None:
    typed = [*shrunk(world), f"trainer.max_steps={steps}", *more]
    _run(str(ROOT / "train.py"), *typed, f"hydra.run.dir={folder}")


def _metrics(folder: Path) -> dict[str, float]:
    found = json.loads((folder / "metrics.json").read_text())
    return {name: value for name, value in found.items() if name.startswith("shapes/")}


def test_what_reads_a_checkpoint_reads_a_sharded_one(world: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    _train(world, run, 4, *SHARDED, "callbacks.last.every_n_steps=2")
    names = sorted(path.name for path in (run / "checkpoints").iterdir())
    assert names == ["best.ckpt", "last.ckpt", "step_2.ckpt"]
    assert (run / "checkpoints" / "last.ckpt" / "whole.pt").is_file()
    sets = f"evaluation.zero_shot.datasets=[{world}/shapes]"
    _run(str(ROOT / "eval.py"), f"checkpoint={run}", sets, f"hydra.run.dir={tmp_path}/eval")
    assert _metrics(tmp_path / "eval") == pytest.approx(_metrics(run), abs=1e-6)
    model = cyclip_pl.load(run / "checkpoints" / "last.ckpt")
    assert model.encode_text(["a red square"]).shape[0] == 1
    _run(
        "-c",
        "from cyclip_pl.cli import export; export()",
        f"checkpoint={run}",
        f"out={tmp_path}/out",
    )
    assert (tmp_path / "out" / "open_clip_config.json").is_file()
    for name, more in (
        ("one", ["data.batch_size=48"]),
        ("ddp", ["trainer=ddp_cpu", "trainer.devices=2"]),
        ("fsdp_2", list(SHARDED)),
        ("fsdp_3", [*SHARDED, "trainer.devices=3", "data.batch_size=16"]),
    ):
        _train(world, tmp_path / name, 6, *more, f"resume={run}")
        assert step_of(checkpoint_file(tmp_path / name)) == 6
        weights = read_checkpoint(checkpoint_file(tmp_path / name))["state_dict"]
        assert all(torch.isfinite(x).all() for x in weights.values())


def test_kills_of_all_ranks_or_one_leave_a_whole_checkpoint(world: Path, tmp_path: Path) -> None:
    draw, step = random.Random(0), 0
    typed = [o for o in shrunk(world) if not o.startswith("evaluation.")]
    typed += [*SHARDED, "evaluation=[]", "callbacks.best.monitor=null", "resume=auto"]
    typed += ["callbacks.last.every_n_steps=1", "trainer.max_steps=1000000"]
    for kill in range(KILLS):
        process = Process(
            sys.executable, str(ROOT / "train.py"), *typed, f"hydra.run.dir={tmp_path}"
        )
        last = tmp_path / "checkpoints" / "last.ckpt"
        process.until(lambda: (step_of(last) or 0) > step + 1)  # noqa: B023
        time.sleep(draw.uniform(0, 1))
        if kill % 2:
            os.kill(process.rank(draw.randrange(2)), signal.SIGKILL)
            assert process.status() != 0
        else:
            process.send_to_all(signal.SIGKILL)
        process.kill()
        found = step_of(checkpoint_file(tmp_path))
        assert found is not None and found > step
        step = found
