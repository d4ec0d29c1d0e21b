"""What the pages say of sweeps, of several processes and of make, done in small."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT
from tests.helpers.composed import choices
from tests.helpers.world import shrunk

pytestmark = pytest.mark.slow


def run(arguments: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, **environment},
    )


@pytest.mark.slow
def test_a_sweep(world: Path, tmp_path: Path) -> None:
    done = run(
        [
            "train.py",
            "-m",
            "objective=cyclip",
            "objective.lambda_in_modal=0,0.5",
            *shrunk(world),
            "trainer.max_steps=1",
            f"hydra.sweep.dir={tmp_path}",
        ]
    )
    assert done.returncode == 0, done.stderr
    for job, weight in ((0, "0"), (1, "0.5")):
        assert f"lambda_in_modal: {weight}" in (tmp_path / str(job) / "config.yaml").read_text()
        assert (tmp_path / str(job) / "metrics.json").is_file()


@pytest.mark.slow
def test_two_processes_train_and_evaluate_as_one_run(world: Path, tmp_path: Path) -> None:
    done = run(
        [
            "train.py",
            "trainer=ddp_cpu",
            "trainer.devices=2",
            *shrunk(world),
            "data.batch_size=12",
            f"hydra.run.dir={tmp_path}/run",
        ],
        OMP_NUM_THREADS="1",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["train/samples"] == 4 * 24
    assert metrics["shapes/zero_shot/samples"] == 36
    assert done.stdout.count("run folder:") == 1

    # One process and two give the same metrics for what they trained.
    for devices in (1, 2):
        done = run(
            [
                "eval.py",
                f"checkpoint={tmp_path}/run",
                f"evaluation.zero_shot.datasets=[{world}/shapes]",
                "accelerator=cpu",
                f"devices={devices}",
                f"hydra.run.dir={tmp_path}/eval{devices}",
            ],
            OMP_NUM_THREADS="1",
        )
        assert done.returncode == 0, done.stdout + done.stderr
        again = json.loads((tmp_path / f"eval{devices}" / "metrics.json").read_text())
        assert again == {k: v for k, v in metrics.items() if k in again}


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True)


def test_make_help_lists_every_target() -> None:
    listed = make("help").stdout
    for target in re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE):
        assert re.search(rf"^  {target}\b", listed, re.MULTILINE)


@pytest.mark.parametrize("target", ["eval", "eval-all"])
def test_make_eval_says_what_it_needs(target: str) -> None:
    done = make(target)
    assert done.returncode == 2
    assert f"make {target} needs CHECKPOINT=RUN_FOLDER_OR_FILE" in done.stderr


def test_make_eval_all_runs_all() -> None:
    (listed,) = re.findall(r"evaluation=\[(.*?)\]", make("-n", "eval-all", "CHECKPOINT=x").stdout)
    assert sorted(listed.split(",")) == choices("evaluation")


def test_make_report_says_what_it_needs() -> None:
    done = make("report")
    assert done.returncode == 2
    assert "make report needs RUNS='RUN_FOLDER …'" in done.stderr
