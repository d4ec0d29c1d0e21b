from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cyclip_pl import run_folder

ROOT = Path(__file__).parents[1]
TIME = r"runs/\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d"


@pytest.fixture(autouse=True)
def outside_slurm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith(("SLURM_", "TORCHELASTIC_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    run_folder.new_folder.cache_clear()


def _python(code: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", f"from cyclip_pl import run_folder\n{code}"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_processes_that_start_together_get_a_folder_each(tmp_path: Path) -> None:
    together = "input(); print(run_folder.new_folder('runs/'))"
    started = [_python(together, tmp_path) for _ in range(4)]
    for process in started:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    names = [process.communicate()[0].strip() for process in started]
    assert len(set(names)) == 4
    assert all(re.fullmatch(rf"{TIME}(_\d)?", name) and Path(name).is_dir() for name in names)


def test_a_process_keeps_its_folder() -> None:
    assert run_folder.new_folder("runs/") == run_folder.new_folder("runs/")
    assert run_folder.new_folder("runs/eval_") != run_folder.new_folder("runs/")


def test_a_named_folder_that_nothing_was_written_to_goes_away() -> None:
    folder = Path(run_folder.new_folder("runs/"))
    with run_folder.lock(folder):
        (folder / "train.log").write_text("")
    (folder / "config.yaml").write_text("seed: 0")
    run_folder.leave_no_empty(folder)
    assert folder.is_dir()
    (folder / "config.yaml").unlink()
    (folder / "train.log").write_text("a line")
    run_folder.leave_no_empty(folder)
    assert folder.is_dir()
    run_folder.leave_no_empty(folder, with_log=True)
    assert not folder.exists()
    typed = Path("typed")
    typed.mkdir()
    run_folder.leave_no_empty(typed)
    assert typed.is_dir()


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({"SLURM_JOB_ID": "7"}, "runs/slurm_7"),
        ({"SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "2"}, "slurm_7_2"),
        ({"SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "interactive"}, TIME),
        ({}, TIME),
    ],
)
def test_a_requeued_slurm_job_finds_its_folder(
    environment: dict[str, str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    assert re.search(f"{name}$", run_folder.run_folder("runs/"))


@pytest.mark.slow
def test_the_processes_of_torchrun_agree_on_one_folder(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import os\nfrom cyclip_pl import run_folder\n"
        "open(os.environ['RANK'], 'w').write(run_folder.new_folder('runs/'))\n"
    )
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    done = subprocess.run(
        [*torchrun, "--nproc_per_node=2", str(script)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    names = {(tmp_path / rank).read_text() for rank in ("0", "1")}
    assert names == {str(path.relative_to(tmp_path)) for path in (tmp_path / "runs").iterdir()}
    assert len(names) == 1


@pytest.mark.slow
def test_a_second_process_is_refused_and_a_kill_leaves_no_lock(tmp_path: Path) -> None:
    # The child outlives the first process, as a worker may: it must not keep the lock.
    holds = "\n".join(
        [
            "import os, pathlib, time",
            "with run_folder.lock(pathlib.Path('run')):",
            "    child = os.fork()",
            "    if child: print(child, flush=True)",
            "    time.sleep(600)",
        ]
    )
    first = _python(holds, tmp_path)
    assert first.stdout
    child = int(first.stdout.readline())
    try:
        holder = f"process {first.pid} on .*"
        with (
            pytest.raises(
                ValueError, match=rf"^hydra\.run\.dir=run: {holder} runs in this folder; wait"
            ),
            run_folder.lock(tmp_path / "run"),
        ):
            pass
        first.kill()
        first.wait()
        with run_folder.lock(tmp_path / "run"):
            assert str(os.getpid()) in (tmp_path / "run" / run_folder.LOCK).read_text()
    finally:
        first.kill()
        os.kill(child, 9)


def test_a_file_system_without_locks_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unsupported(*arguments: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", unsupported)
    with caplog.at_level(logging.WARNING), run_folder.lock(tmp_path / "run"):
        pass
    assert "hydra.run.dir=run: the file system has no locks (No locks available)" in caplog.text


def _write(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    return folder


def test_a_folder_with_a_run_is_not_free(tmp_path: Path) -> None:
    folder = _write(tmp_path / "run", "metrics.json", "config.yaml")
    message = (
        r"^hydra\.run\.dir=run: holds a run \(best\.ckpt, last\.ckpt\); add resume=auto to go on,"
        " overwrite=true to start over, or name another folder$"
    )
    with pytest.raises(ValueError, match=message):
        run_folder.check_free(folder, ["best.ckpt", "last.ckpt"])


def test_a_folder_with_results_is_not_free(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds results \(metrics\.json\); add overwrite=true"):
        run_folder.check_free(_write(tmp_path, "metrics.json", "details/x.json"), [])


def test_a_failed_start_is_not_a_run(tmp_path: Path) -> None:
    run_folder.check_free(_write(tmp_path, "config.yaml", "provenance.json", "csv/metrics.csv"), [])
    run_folder.check_free(tmp_path / "nowhere", [])


def test_clear_removes_what_a_run_wrote_and_nothing_else(tmp_path: Path) -> None:
    mine = ["notes.md", "checkpoints/mine.ckpt", "details/notes.txt", "csv/plot.png"]
    own = ["config.yaml", "metrics.json", "tensorboard/events.out.tfevents.1"]
    _write(tmp_path, *mine, *own, "details/s_zero_shot.json", "details/s_zero_shot/3.webp")
    run_folder.clear(tmp_path)
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(str(path.relative_to(tmp_path)) for path in left) == sorted(mine)


def test_an_evaluation_is_not_for_the_folder_of_a_training(tmp_path: Path) -> None:
    run_folder.check_no_training(tmp_path, [])
    with pytest.raises(ValueError, match=r"of a training run \(last\.ckpt\), whose metrics\.json"):
        run_folder.check_no_training(tmp_path, ["last.ckpt"])
