"""Signals and deaths: each kind, to each target, in each phase of real runs."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.helpers.http_server import serving
from tests.helpers.processes import Process, endless, train

pytestmark = pytest.mark.soak

STATUS = {signal.SIGTERM: 143, signal.SIGHUP: 143, signal.SIGUSR1: 143, signal.SIGINT: 130}
ONE, TWO = (), ("trainer=ddp_cpu",)
DDP = [
    "torch.distributed.run",
    "--standalone",
    "--nproc-per-node=2",
]


def _send(run: Process, target: str, signum: int) -> None:
    if target == "all":
        run.send_to_all(signum)
    else:
        os.kill(run.pid if target == "first" else run.rank(1), signum)


def _check(run: Process, folder: Path, signum: signal.Signals) -> None:
    assert run.status() == STATUS[signum], run.output()
    assert run.left() == []
    (line,) = run.lines()
    assert line.startswith(f"stopped by {signum.name} at step ")
    assert line.endswith(f"; to go on: resume={folder}")
    assert (folder / "checkpoints" / "last.ckpt").is_file()


@pytest.mark.parametrize(
    ("signum", "target", "workers"), itertools.product(STATUS, ["first", "all"], [0, 2])
)
def test_one_process(
    world: Path, tmp_path: Path, signum: signal.Signals, target: str, workers: int
) -> None:
    run = train(world, tmp_path, f"data.workers={workers}")
    run.until("step 2 ")
    _send(run, target, signum)
    _check(run, tmp_path, signum)


@pytest.mark.parametrize(
    ("signum", "target", "workers"),
    [
        *itertools.product([signal.SIGTERM], ["first", "rank 1", "all"], [0, 2]),
        (signal.SIGINT, "all", 2),
        (signal.SIGUSR1, "rank 1", 2),
    ],
)
def test_two_ranks(
    world: Path, tmp_path: Path, signum: signal.Signals, target: str, workers: int
) -> None:
    run = train(world, tmp_path, *TWO, f"data.workers={workers}")
    run.until("step 2 ")
    _send(run, target, signum)
    _check(run, tmp_path, signum)


@pytest.mark.parametrize("ranks", [ONE, TWO], ids=["one", "two"])
def test_in_an_evaluation(world: Path, tmp_path: Path, ranks: tuple[str, ...]) -> None:
    often = [
        "evaluation=[zero_shot]",
        f"evaluation.zero_shot.datasets=[{world}/shapes]",
        "evaluation.zero_shot.cadence.every_n_steps=1",
        "features.batch_size=1",
    ]
    run = train(world, tmp_path, *ranks, *often)
    run.until("step 2 ")
    time.sleep(0.3)
    _send(run, "first", signal.SIGTERM)
    _check(run, tmp_path, signal.SIGTERM)


@pytest.mark.parametrize("workers", [0, 2])
def test_while_a_server_stalls(world: Path, tmp_path: Path, workers: int) -> None:
    with serving(world / "train") as server:
        shards = sorted(path.name for path in (world / "train").glob("*.tar"))
        run = train(
            world,
            tmp_path / "run",
            f"data.workers={workers}",
            f"data.train.shards=[{','.join(f'{server.url}/{name}' for name in shards)}]",
            "data.train.resampled=true",
            "data.train.samples_per_epoch=96",
            "data.shuffle.buffer=1",
        )
        run.until("step 2 ")
        server.stalled += [f"/{name}" for name in shards]
        before = -1
        while (now := run.output().count("step ")) != before:
            before = now
            time.sleep(3)
        run.send_to_all(signal.SIGTERM)
        _check(run, tmp_path / "run", signal.SIGTERM)


@pytest.mark.parametrize("delay", [0.2, 1.0, 3.0, 5.0])
@pytest.mark.parametrize("ranks", [ONE, TWO], ids=["one", "two"])
def test_before_the_first_step(
    world: Path, tmp_path: Path, delay: float, ranks: tuple[str, ...]
) -> None:
    run = train(world, tmp_path, *ranks)
    time.sleep(delay)
    run.send_to_all(signal.SIGTERM)
    # Python itself dies of a signal that comes before the handlers.
    assert run.status() in (143, -signal.SIGTERM), run.output()
    assert run.left() == []
    assert len(run.lines()) <= 1 and "Traceback" not in run.output()


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGSTOP, signal.SIGSEGV])
@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_dies(world: Path, tmp_path: Path, rank: int, signum: signal.Signals) -> None:
    run = train(world, tmp_path, *TWO, "data.workers=2")
    run.until("step 2 ")
    pid = run.pid if rank == 0 else run.rank(1)
    os.kill(pid, signum)
    begin = time.monotonic()
    assert run.status() != 0
    assert run.left() == []
    assert time.monotonic() - begin < 60
    errors = [line for line in run.lines() if line.startswith("error: ")]
    assert len(errors) == 1 and f"rank {rank} (pid {pid})" in errors[0]


@pytest.mark.parametrize(
    ("target", "signum"),
    [("rank 1", signal.SIGTERM), ("all", signal.SIGTERM), ("rank 1", signal.SIGKILL)],
)
def test_under_torchrun(world: Path, tmp_path: Path, target: str, signum: signal.Signals) -> None:
    run = Process(sys.executable, "-m", *DDP, *endless(world, tmp_path), *TWO)
    run.until("step 2 ")
    _send(run, target, signum)
    assert run.status() != 0
    assert run.left() == []
    if signum == signal.SIGKILL:
        assert "has died" in run.output()
    else:
        assert f"stopped by {signum.name} at step " in run.output()
        assert (tmp_path / "checkpoints" / "last.ckpt").is_file()


def test_a_data_worker_is_killed(world: Path, tmp_path: Path) -> None:
    run = train(world, tmp_path, "data.workers=2")
    run.until("step 2 ")
    worker = max(run.processes())
    os.kill(worker, signal.SIGKILL)
    assert run.status() == 1
    assert run.left() == []
    assert f"error: data worker (pid {worker}) died" in run.output()
    assert "lower data.workers" in run.output()
