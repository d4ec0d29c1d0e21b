"""Sweeps: the names of folders, and the metric that a search goes by."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from cyclip_pl import sweeps

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("typed", "overrides", "name"),
    [
        (["-m", "seed=0,1"], ["seed=1"], "3_seed_1"),
        (["seed=0,1", "encoder=tiny"], ["seed=1", "encoder=tiny"], "3_seed_1"),
        ([], ["objective.lambda_in_modal=0.25"], "3_lambda_in_modal_0.25"),
        (["a.x=1,2", "b.x=3,4"], ["a.x=1", "b.x=3"], "3_a.x_1_b.x_3"),
        (["+data.train.shards=a,b"], ["+data.train.shards='/x/a b'"], "3_shards_a-b"),
        (["evaluation=[]"], ["evaluation=[]"], "3"),
        (["optimizer.lr=choice(-1,2)"], ["optimizer.lr=-1"], "3_lr_-1"),
    ],
)
def test_a_folder_tells_what_its_job_has_for_itself(
    monkeypatch: pytest.MonkeyPatch, typed: list[str], overrides: list[str], name: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", *typed])
    assert sweeps.job_folder(3, overrides) == name


def test_a_name_is_not_too_long_for_a_file_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py"])
    assert len(sweeps.job_folder(0, [f"x{n}.lr={n}" for n in range(99)])) == 120


def test_a_number_leads_to_the_folder_of_its_job(tmp_path: Path) -> None:
    for name in ("0_seed_1", "0_seed_2"):
        (tmp_path / name).mkdir()
        sweeps.link_number(tmp_path / name, 0)
        assert (tmp_path / "0").resolve() == tmp_path / name
    (tmp_path / "1").mkdir()
    sweeps.link_number(tmp_path / "1", 1)
    assert not (tmp_path / "1").is_symlink()
    (tmp_path / "own").mkdir()
    sweeps.link_number(tmp_path / "own", 2)
    assert not (tmp_path / "2").exists()


METRICS = {"a/zero_shot/acc1": 0.5, "b/zero_shot/acc1": 0.7, "train/seconds": 2.0}


def test_the_metric_of_the_first_set_or_of_a_named_one() -> None:
    assert sweeps.chosen(METRICS, None) is None
    assert sweeps.chosen(METRICS, "zero_shot/acc1") == 0.5
    assert sweeps.chosen(METRICS, "b/zero_shot/acc1") == 0.7
    assert sweeps.chosen(METRICS, ["b/zero_shot/acc1", "train/seconds"]) == [0.7, 2.0]
    with pytest.raises(ValueError, match=r"objective_metric=zero_shot/acc2: .*did you mean"):
        sweeps.chosen(METRICS, "zero_shot/acc2")


def test_an_evaluation_that_does_not_run_is_refused_before_the_training() -> None:
    sweeps.check(None, [])
    sweeps.check(["zero_shot/acc1", "train/seconds"], ["zero_shot"])
    with pytest.raises(ValueError, match=r"objective_metric=zeroshot/acc1: .*mean zero_shot"):
        sweeps.check("zeroshot/acc1", ["zero_shot"])


@pytest.mark.slow
def test_optuna_searches_by_the_metric_and_counts_a_failed_job(world: Path, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    command = [
        *(sys.executable, str(ROOT / "train.py"), "-m", "sweep=optuna"),
        *("encoder=tiny", "data=webdataset", "data.workers=0", "trainer.max_steps=1"),
        *(f"evaluation.datasets=[{world}/shapes]", f"data.train.shards={world}/train"),
        *(f"hydra.sweep.dir={tmp_path}/sweep", "hydra.sweeper.n_trials=3"),
        "data.batch_size=choice(1,8)",  # a batch of 1 is refused
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    sweep = tmp_path / "sweep"
    best = yaml.safe_load((sweep / "optimization_results.yaml").read_text())
    ran = [p for p in sweep.glob("*_lambda*") if (p / "metrics.json").is_file()]
    assert 0 < len(ran) < len(list(sweep.glob("*_lambda*"))) == 3, done.stderr
    metrics = [json.loads((p / "metrics.json").read_text()) for p in ran]
    assert best["best_value"] == max(m["shapes/zero_shot/acc1"] for m in metrics)
    assert done.returncode == 1
    assert "error: job " in done.stderr.splitlines()[-1]
