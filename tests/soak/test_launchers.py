"""Studies of two points by Hydra's launchers: joblib, submitit, Ray, and Optuna before joblib."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import pytest
import torch
import yaml

from tests.helpers.processes import ROOT, Process, endless
from tests.helpers.slurm import Slurm
from tests.helpers.world import shrunk

pytestmark = pytest.mark.soak

STUDY = ["objective.lambda_in_modal=0,0.25", "trainer.max_steps=3", "evaluation=[]"]


def _needs(launcher: str) -> None:
    pytest.importorskip(f"hydra_plugins.hydra_{launcher}_launcher")


def _study(world: Path, cwd: Path, *more: str, **environment: str) -> Process:
    settings = [one for one in shrunk(world) if not one.startswith("evaluation.")]
    command = (sys.executable, str(ROOT / "train.py"), "-m", *settings, *more)
    return Process(*command, cwd=cwd, OMP_NUM_THREADS="1", **environment)


@pytest.mark.parametrize("launcher", ["joblib", "submitit_local", "ray"])
def test_a_study_is_that_of_one_process(world: Path, tmp_path: Path, launcher: str) -> None:
    _needs(launcher.partition("_")[0])
    losses = []
    for name in ("basic", launcher):
        (tmp_path / name).mkdir()
        run = _study(world, tmp_path / name, f"hydra/launcher={name}", *STUDY)
        assert run.status() == 0, run.output()
        (sweep,) = (tmp_path / name / "runs").iterdir()
        folders = [sweep / "0_lambda_in_modal_0", sweep / "1_lambda_in_modal_0.25"]
        assert [(sweep / str(n)).resolve() for n in (0, 1)] == folders
        losses.append(
            [(folder / "csv" / "metrics.csv").read_text().split()[2] for folder in folders]
        )
    of_launcher, of_one = ([line.split(",")[3:8] for line in lines] for lines in losses)
    assert of_launcher == of_one


def test_joblib_passes_a_signal_on_and_waits(world: Path, tmp_path: Path) -> None:
    _needs("joblib")
    settings = endless(world, tmp_path)[1:-1]
    command = (sys.executable, str(ROOT / "train.py"), "-m", *settings, "seed=0,1,2")
    run = Process(*command, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", cwd=tmp_path)
    run.until(lambda: run.output().count("step 2 ") == 2)
    run.send(signal.SIGTERM)
    assert run.status() == 143
    assert run.left() == []
    assert run.output().count("; to go on: resume=") == 2
    assert len(list((tmp_path / "runs").glob("*/*_seed_*/checkpoints/last.ckpt"))) == 2


def test_optuna_asks_joblib(world: Path, tmp_path: Path) -> None:
    _needs("joblib")
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    run = _study(
        world,
        tmp_path,
        *("sweep=optuna", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"),
        *("hydra.sweeper.n_trials=2", "hydra.sweeper.n_jobs=2", "trainer.max_steps=3"),
        f"evaluation.zero_shot.datasets=[{world}/shapes]",
    )
    assert run.status() == 0, run.output()
    (sweep,) = (tmp_path / "runs").iterdir()
    best = yaml.safe_load((sweep / "optimization_results.yaml").read_text())["best_value"]
    found = [json.loads(path.read_text()) for path in sweep.glob("*_*/metrics.json")]
    assert len(found) == 2
    assert best == max(metrics["shapes/zero_shot/acc1"] for metrics in found)


def test_slurm_gets_a_job_back_and_it_goes_on(world: Path, tmp_path: Path) -> None:
    _needs("submitit")
    slurm = Slurm(tmp_path / "slurm")
    settings = endless(world, tmp_path)[1:-1]
    more = ["resume=auto", "trainer.max_steps=30"]
    run = Process(
        *(sys.executable, str(ROOT / "train.py"), "-m", *settings, *more, "seed=0,1"),
        *("hydra/launcher=submitit_slurm", "hydra.launcher.timeout_min=1440"),
        *("hydra.launcher.signal_delay_s=180", "hydra.launcher.max_num_timeout=10"),
        *("hydra.launcher.cpus_per_task=8", "hydra.launcher.gpus_per_node=1"),
        cwd=tmp_path,
        PATH=slurm.path,
        OMP_NUM_THREADS="1",
    )

    def output() -> str:
        return "".join(path.read_text() for path in tmp_path.rglob("77_0_0_log.out"))

    run.until(lambda: "step 3 " in output())
    slurm.send(0, signal.SIGUSR1)
    assert run.status() == 0, run.output() + output()
    assert run.left() == []
    assert slurm.asked() == ["requeue 77_0"]
    wanted = {"--signal=USR1@180", "--time=1440", "--array=0-1%2", "--cpus-per-task=8"}
    assert wanted | {"--gpus-per-node=1", "--open-mode=append"} <= slurm.options()
    assert output().count("stopped by SIGUSR1 at step ") == 1
    (sweep,) = (tmp_path / "runs").iterdir()
    stopped = json.loads((sweep / "0" / "provenance.json").read_text())
    assert 3 <= stopped["resumed_at"] < 30 and len(stopped["earlier"]) == 1
    assert "resumed_at" not in json.loads((sweep / "1" / "provenance.json").read_text())

    whole = Process(
        *(sys.executable, str(ROOT / "train.py"), *settings, *more, "seed=0"),
        *("hydra.run.dir=whole",),
        cwd=tmp_path,
        OMP_NUM_THREADS="1",
    )
    assert whole.status() == 0, whole.output()
    a, b = (
        torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for folder in (sweep / "0", tmp_path / "whole")
    )
    assert all(torch.equal(a[name], b[name]) for name in a)
