"""The commands as processes: exit status, what is on which stream, what they import."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cyclip_pl import __version__

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]


def run(script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / script), *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=ROOT,
        env={**os.environ, **environment},
    )


def test_a_missing_checkpoint(tmp_path: Path) -> None:
    done = run("eval.py", f"hydra.run.dir={tmp_path}/run")
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["error: checkpoint has no value: set checkpoint=…"]


def test_an_error_inside_the_run(tmp_path: Path) -> None:
    done = run(
        "train.py",
        f"hydra.run.dir={tmp_path}/run",
        "data=webdataset",
        "data.train.shards='/nowhere/{0..3}.tar'",
        "evaluation=[]",
    )
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "data.train.shards: '/nowhere/0.tar' does not exist" in errors[0]
    assert "Traceback" not in done.stdout + done.stderr


def test_a_trace_on_request(tmp_path: Path) -> None:
    done = run(
        "eval.py", f"hydra.run.dir={tmp_path}/run", "checkpoint=/nowhere", CYCLIP_TRACEBACK="1"
    )
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "checkpoint=/nowhere" in done.stderr


def test_help_needs_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['train.py', '--help']\n"
        "try:\n    from cyclip_pl.cli import train; train()\n"
        "except SystemExit: pass\n"
        "print('torch' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120
    )
    assert done.stderr.splitlines()[-1] == "False"
    for group in ("objective", "encoder", "projector", "evaluation", "trainer"):
        assert f"{group}:" in done.stdout


@pytest.mark.parametrize("script", ["train.py", "eval.py"])
def test_help_has_examples_and_the_version_is_ours(script: str) -> None:
    shown = run(script, "--help").stdout
    assert f"cyclip-{script[:-3]} " in shown.partition("Groups")[0]
    assert "objective:" in shown or "model:" in shown
    assert run(script, "--version").stdout == f"cyclip-pl {__version__}\n"


def test_a_sweep_goes_on_past_a_failed_job(tmp_path: Path) -> None:
    done = run(
        "train.py",
        *("-m", f"hydra.sweep.dir={tmp_path}/sweep", "encoder=tiny", "evaluation=[]"),
        *("data.batch_size=1,8", "data.workers=0", "trainer.max_steps=1"),
    )
    assert done.returncode == 1
    assert "run folder:" in done.stdout
    assert (tmp_path / "sweep" / "1_batch_size_8" / "metrics.json").is_file()
    assert (tmp_path / "sweep" / "1" / "metrics.json").is_file(), "as Hydra calls it"
    assert "model: " in done.stdout and "data: " in done.stdout
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: job 0 (encoder=tiny 'evaluation=[]' data.batch_size=1 ")
    assert "): data.batch_size=1: an objective compares the samples of a batch" in last
    assert "Traceback" not in done.stdout + done.stderr
