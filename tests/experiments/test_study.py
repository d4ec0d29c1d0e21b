"""`python experiments/study.py` with a study of its own."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.helpers.processes import ROOT
from tests.helpers.world import shrunk

README = "<!-- table status -->\n<!-- end -->\n<!-- table all -->\n<!-- end -->\n"


@pytest.mark.slow
def test_a_study_runs_what_it_lacks(world: Path, tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    experiments = tmp_path / "experiments"
    for part in ("studies", "hydra_plugins"):
        shutil.copytree(ROOT / "experiments" / part, experiments / part)
    shutil.copy(ROOT / "experiments" / "study.py", experiments)
    folder = experiments / "some"
    folder.mkdir()
    (folder / "README.md").write_text(README)
    metric = "shapes/zero_shot/acc1"
    settings = {
        "overrides": shrunk(world),
        "protocols": ["zero_shot"],
        "seeds": [0, 1],
        "cells": {"clip": ["objective=clip"], "broken": ["objective=clip", "data.batch_size=1"]},
        "tables": {"all": {"metrics": {"shapes": metric}}},
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(settings))

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(experiments / "study.py"), "some", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
        )

    done = run("--jobs", "2")
    with (folder / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    # One that fails does not take the others with it, and is told.
    assert [(row["cell"], row["seed"]) for row in rows] == [("clip", "0"), ("clip", "1")], (
        done.stderr
    )
    assert done.returncode == 1 and "data.batch_size=1" in done.stderr.splitlines()[-1]
    assert all(0 <= float(row[metric]) <= 1 for row in rows)
    assert not list((tmp_path / "runs").glob("studies/some/clip_*/checkpoints"))
    assert run("--list").stdout.splitlines()[-1] == "2 of 4 runs to go"
    assert run("--report").returncode == 0
    text = (folder / "README.md").read_text()
    assert "2 of 4 runs have ended" in text and "| `clip` | 2 seeds |" in text
