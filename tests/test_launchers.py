"""Hydra's launchers that run the jobs of a sweep in other processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.processes import ROOT
from tests.helpers.world import shrunk


@pytest.mark.slow
def test_joblib_runs_jobs_side_by_side(world: Path, tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    settings = [one for one in shrunk(world) if not one.startswith(("evaluation", "data.batch"))]
    done = subprocess.run(
        [
            *(sys.executable, str(ROOT / "train.py"), "-m"),
            *("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"),
            *(*settings, "evaluation=[]", "trainer.max_steps=1", "data.batch_size=1,8"),
        ],
        cwd=tmp_path, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    (sweep,) = (tmp_path / "runs").iterdir()  # all jobs in the folder that the first process named
    assert (sweep / "1_batch_size_8" / "metrics.json").is_file(), done.stderr
    assert (sweep / "1" / "metrics.json").is_file(), "as Hydra calls it"
    # One that fails does not take the other with it.
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: job 0 (") and "data.batch_size=1: an objective" in last
    assert "Traceback" not in done.stdout + done.stderr
