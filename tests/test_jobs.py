"""Jobs that a launcher of Hydra's runs in another process."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cyclip_pl import jobs, signals, sweeps
from cyclip_pl.jobs import Job, JobFailed
from tests.helpers.composed import composed


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Job]:
    """A job of `train.py -m seed=0,1`, as another process gets it."""
    monkeypatch.setattr(sys, "argv", ["train.py", "-m", "seed=0,1"])
    monkeypatch.setattr(sweeps, "sweep_folder", tmp_path)
    with signals.handled():
        sent = pickle.dumps(Job("train", "cyclip_pl.training.train"))
    sys.argv = ["worker", "--pipe=7"]
    yield pickle.loads(sent)
    signals._state = signals._State()


def test_it_takes_the_place_of_the_command(elsewhere: Job, tmp_path: Path) -> None:
    assert sys.argv == ["train.py", "-m", "seed=0,1"]
    assert sweeps.job_folder(1, ["seed=1"]) == "1_seed_1"
    assert elsewhere.sweep == tmp_path
    assert pickle.loads(pickle.dumps(elsewhere)) == elsewhere, "as submitit does on a requeue"


def test_a_signal_ends_it_and_those_behind_it(
    elsewhere: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(self: Job, config: Any) -> None:
        ran.append(config)
        signal.raise_signal(signal.SIGUSR1)

    ran: list[Any] = []
    monkeypatch.setattr(Job, "_run", run)
    for config in ("first", "second"):
        with pytest.raises(JobFailed, match=r"^stopped by SIGUSR1$"):
            elsewhere(config)  # type: ignore[arg-type]
    assert ran == ["first"]


def test_the_launchers_own_handler_has_the_last_word(
    elsewhere: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(self: Job, config: Any) -> None:
        signal.raise_signal(signal.SIGUSR1)
        raise AssertionError("unreachable")

    def requeue(signum: int, frame: object) -> None:
        asked.append(signum)
        sys.exit(-1)

    asked: list[int] = []
    monkeypatch.setattr(Job, "_run", run)
    before = signal.signal(signal.SIGUSR1, requeue)
    try:
        with pytest.raises(SystemExit):
            elsewhere(None)  # type: ignore[arg-type]
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert asked == [signal.SIGUSR1]


def test_a_search_sends_no_more_jobs_behind_a_signal() -> None:
    with pytest.raises(signals.Stopped), signals.handled():
        signals._state.requested = signal.SIGTERM
        pickle.dumps(Job("train", "cyclip_pl.training.train"))
    signals._state = signals._State()


def test_failures_are_left_in_the_sweeps_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeps, "sweep_folder", tmp_path)
    for number in (10, 9):
        sweeps.note_failure(tmp_path, number, f"job {number}: no")
    assert sweeps.failures() == ["job 9: no", "job 10: no"]


def test_the_error_of_a_job_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert jobs.told(ValueError("seed=-1: no"), "train") == "seed=-1: no"
    assert capsys.readouterr().err == "error: seed=-1: no\n"
    monkeypatch.setenv(jobs.TRACEBACK, "1")
    with pytest.raises(ValueError):
        jobs.told(ValueError("seed=-1: no"), "train")


def test_ranks_are_not_started_from_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        monkeypatch.delenv(name)
    config = composed("trainer=ddp_cpu")
    with pytest.raises(ValueError, match=r"^trainer.devices=2: a job that a launcher runs"):
        jobs._check_ranks(config)
    monkeypatch.setenv("SLURM_PROCID", "0")  # srun has started them
    jobs._check_ranks(config)
    jobs._check_ranks(composed(config_name="eval"))


def test_a_signal_is_passed_on_to_the_processes_of_joblib(monkeypatch: pytest.MonkeyPatch) -> None:
    job = subprocess.Popen(["sleep", "100"])
    monkeypatch.setattr(multiprocessing, "active_children", lambda: [job])
    with pytest.raises(signals.Stopped), signals.handled():
        signals.jobs_run_elsewhere()
        signal.raise_signal(signal.SIGTERM)
        assert job.wait(10) == -signal.SIGTERM  # this process goes on, to wait for them
        raise RuntimeError("a worker process has ended")
    signals._state = signals._State()
