from __future__ import annotations

import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cyclip_pl.callbacks.last import Last
from cyclip_pl.callbacks.stop import Stop
from cyclip_pl.signals import Stopped
from tests.helpers.processes import train

Output = pytest.CaptureFixture[str]


class _Last(Last):
    def __init__(self, folder: Path, works: bool = True) -> None:
        super().__init__(folder, every_n_steps=10)
        self.works = works
        self.saved: list[int] = []

    def save(self, trainer: Any) -> bool:
        self.saved.append(trainer.global_step)
        return self.works


def _stopped_at(step: int, signum: int, *callbacks: Any) -> None:
    trainer: Any = SimpleNamespace(
        global_step=step, is_global_zero=True, callbacks=callbacks, world_size=1
    )
    stop = Stop()
    stop._began_at = 2
    stop.on_exception(trainer, None, Stopped(signum))


def test_it_saves_and_says_how_to_go_on(tmp_path: Path, capsys: Output) -> None:
    last = _Last(tmp_path / "run" / "checkpoints")
    _stopped_at(3, signal.SIGTERM, last)
    assert last.saved == [3]
    line = f"stopped by SIGTERM at step 3; to go on: resume={tmp_path}/run\n"
    assert capsys.readouterr().out == line


def test_checkpoints_elsewhere_are_named(tmp_path: Path, capsys: Output) -> None:
    _stopped_at(3, signal.SIGINT, _Last(tmp_path / "elsewhere"))
    assert f"resume={tmp_path}/elsewhere/last.ckpt" in capsys.readouterr().out


def test_before_the_first_step_there_is_nothing_to_save(tmp_path: Path, capsys: Output) -> None:
    last = _Last(tmp_path)
    _stopped_at(2, signal.SIGTERM, last)
    assert last.saved == []
    assert capsys.readouterr().out == "stopped by SIGTERM before step 3; nothing to save\n"


def test_what_was_not_saved_is_said(tmp_path: Path, capsys: Output) -> None:
    _stopped_at(3, signal.SIGTERM, _Last(tmp_path, works=False))
    assert capsys.readouterr().out == "stopped by SIGTERM at step 3; not saved\n"
    _stopped_at(3, signal.SIGTERM)
    assert "callbacks.last is left out" in capsys.readouterr().out


def test_a_failure_saves_nothing(tmp_path: Path) -> None:
    last, stop = _Last(tmp_path), Stop()
    stop._began_at = 0
    trainer: Any = SimpleNamespace(global_step=3, callbacks=[last])
    for error in (ValueError("the loss is nan"), KeyboardInterrupt()):
        stop.on_exception(trainer, None, error)  # type: ignore[arg-type]
    assert last.saved == []


@pytest.fixture
def scontrol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Slurm's command, which writes down what it is asked."""
    program = tmp_path / "bin" / "scontrol"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    return program


def test_slurm_gets_the_job_back_on_its_own_signal(
    scontrol: Path, tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    _stopped_at(3, signal.SIGTERM, _Last(tmp_path))
    assert not (tmp_path / "asked").exists()
    _stopped_at(3, signal.SIGUSR1, _Last(tmp_path))
    assert (tmp_path / "asked").read_text() == "requeue 77\n"
    assert capsys.readouterr().out.endswith("; job 77 is requeued\n")
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "70")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "4")
    _stopped_at(3, signal.SIGUSR1, _Last(tmp_path))
    assert (tmp_path / "asked").read_text() == "requeue 77\nrequeue 70_4\n"


def test_slurm_may_refuse(scontrol: Path, tmp_path: Path, capsys: Output) -> None:
    scontrol.write_text("#!/bin/sh\necho 'not allowed' >&2\nexit 1\n")
    _stopped_at(3, signal.SIGUSR1, _Last(tmp_path))
    assert capsys.readouterr().out.endswith("; scontrol requeue 77 failed: not allowed\n")


@pytest.mark.slow
def test_a_signal_to_all_processes_of_a_run(world: Path, tmp_path: Path) -> None:
    run = train(world, tmp_path / "run", "data.workers=2")
    run.until("step 2 ")
    run.send_to_all(signal.SIGTERM)
    assert run.status() == 143
    assert run.left() == []
    (line,) = run.lines()
    assert line.startswith("stopped by SIGTERM at step ")
    assert line.endswith(f"; to go on: resume={tmp_path}/run")
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").is_file()


@pytest.mark.slow
def test_a_signal_to_one_rank_stops_all(world: Path, tmp_path: Path) -> None:
    run = train(world, tmp_path / "run", "data.workers=0", "trainer=ddp_cpu")
    run.until("step 2 ")
    os.kill(run.rank(1), signal.SIGINT)
    assert run.status() == 130
    assert run.left() == []
    (line,) = run.lines()
    assert line.startswith("stopped by SIGINT at step ")
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").is_file()


@pytest.mark.slow
def test_a_rank_that_is_killed_ends_all_by_name(world: Path, tmp_path: Path) -> None:
    run = train(world, tmp_path / "run", "data.workers=0", "trainer=ddp_cpu")
    run.until("step 2 ")
    pid = run.rank(1)
    os.kill(pid, signal.SIGKILL)
    assert run.status() == 1
    assert run.left() == []
    line = f"error: rank 1 (pid {pid}) was killed by SIGKILL; did the memory run out?"
    assert run.lines() == [line]
