"""Several machines: `torchrun` on two hosts, a host that is gone, a rank that comes back."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.helpers.hosts import Host, two_hosts
from tests.helpers.processes import Process, endless, train

pytestmark = pytest.mark.soak

FEW = ["data.batch_size=12", "trainer.max_steps=12", "callbacks.last.every_n_steps=2"]
TIMEOUT = 15  # seconds, of the process group
TWO = {"ddp": "trainer=ddp_cpu", "fsdp": "trainer=fsdp_cpu"}


@pytest.fixture
def hosts() -> Iterator[tuple[Host, Host]]:
    with two_hosts() as both:
        yield both


def _on_two_hosts(
    hosts: tuple[Host, Host], world: Path, folder: Path, *more: str
) -> tuple[Process, Process]:
    first, second = hosts
    nodes = ("trainer.devices=1", "trainer.num_nodes=2")
    command = [*endless(world, folder), *nodes, *more]
    return first.torchrun(0, first, *command), second.torchrun(1, first, *command)


def _same_weights(one: Path, other: Path) -> None:
    a, b = (
        torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
        for folder in (one, other)
    )
    assert a["global_step"] == b["global_step"] == 12
    assert a["state_dict"].keys() == b["state_dict"].keys()
    assert all(
        torch.equal(a["state_dict"][name], b["state_dict"][name]) for name in a["state_dict"]
    )


@pytest.mark.parametrize("strategy", TWO)
def test_two_hosts_train_what_one_host_trains(
    hosts: tuple[Host, Host], world: Path, tmp_path: Path, strategy: str
) -> None:
    runs = _on_two_hosts(hosts, world, tmp_path / "two", TWO[strategy], *FEW)
    for run in runs:
        assert run.status() == 0, run.output()
    one = train(world, tmp_path / "one", TWO[strategy], *FEW, OMP_NUM_THREADS="1")
    assert one.status() == 0, one.output()
    _same_weights(tmp_path / "one", tmp_path / "two")
    # The first rank alone holds the folder, writes and tells.
    assert (tmp_path / "two" / ".lock").read_text().endswith(f" on {hosts[0].name}")
    assert json.loads((tmp_path / "two" / "metrics.json").read_text())["train/steps"] == 12
    assert [run.output().count("run folder:") for run in runs] == [1, 0]


@pytest.mark.parametrize("strategy", TWO)
def test_a_cable_is_pulled(
    hosts: tuple[Host, Host], world: Path, tmp_path: Path, strategy: str
) -> None:
    limit = f"trainer.strategy.timeout.seconds={TIMEOUT}"
    runs = _on_two_hosts(hosts, world, tmp_path, TWO[strategy], limit)
    runs[0].until("step 2 ")
    hosts[1].pull_the_cable()
    begin = time.monotonic()
    for run in runs:
        assert run.status() != 0
        assert run.left() == []
        line = "error: trainer.strategy.timeout: another rank did not answer "
        assert line in run.output(), [line for line in run.lines() if "rror: " in line]
    # torchrun and the ranks take their time as well.
    assert time.monotonic() - begin < TIMEOUT + 60


def test_a_host_dies(hosts: tuple[Host, Host], world: Path, tmp_path: Path) -> None:
    runs = _on_two_hosts(hosts, world, tmp_path, TWO["ddp"])
    runs[0].until("step 2 ")
    runs[1].kill()
    begin = time.monotonic()
    assert runs[0].status() != 0
    assert runs[0].left() == []
    assert time.monotonic() - begin < 60
    assert f"error: the rank at {hosts[1].address} has ended" in runs[0].output()


def _elastic(world: Path, folder: Path, *more: str) -> Process:
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=3"]
    environment = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1", "OMP_NUM_THREADS": "1"}
    command = [*torchrun, *endless(world, folder), "resume=auto", *more]
    return Process(sys.executable, "-m", *command, **environment)


@pytest.mark.parametrize("strategy", TWO)
def test_torchrun_starts_a_run_again(world: Path, tmp_path: Path, strategy: str) -> None:
    run = _elastic(world, tmp_path / "killed", TWO[strategy], *FEW)
    for step in ("step 3 ", "step 9 "):
        run.until(step)
        os.kill(run.rank(1), signal.SIGKILL)
        run.until(lambda: run.output().count("has died") or run.output().count("from step"))
        time.sleep(1)
    assert run.status() == 0, run.output()
    assert run.left() == []
    assert run.output().count(", from step ") == 2
    whole = train(world, tmp_path / "whole", TWO[strategy], *FEW, OMP_NUM_THREADS="1")
    assert whole.status() == 0, whole.output()
    _same_weights(tmp_path / "killed", tmp_path / "whole")


def test_torchrun_does_not_start_a_run_again_that_it_was_told_to_stop(
    world: Path, tmp_path: Path
) -> None:
    run = _elastic(world, tmp_path, TWO["ddp"])
    run.until("step 2 ")
    run.send(signal.SIGTERM)
    assert run.status() != 0
    assert run.left() == []
    assert run.output().count("stopped by SIGTERM at step ") == 1
    assert run.output().count("data: ") == 1
    assert (tmp_path / "checkpoints" / "last.ckpt").is_file()
