from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace
from typing import Any

import pytest

from cyclip_pl.callbacks import ranks
from cyclip_pl.callbacks.ranks import Ranks, how_it_ended

SLEEP = [sys.executable, "-c", "import time; time.sleep(1000)"]


def _watching(child: Any) -> tuple[Ranks, Any]:
    """A first rank that has started one other."""
    launcher = SimpleNamespace(procs=[child])
    strategy = SimpleNamespace(launcher=launcher)
    trainer: Any = SimpleNamespace(num_devices=2, num_nodes=1, global_rank=0, strategy=strategy)
    watched = Ranks()
    return watched, watched.watching(trainer)


def test_the_death_of_a_rank_replaces_what_the_collective_says() -> None:
    child = subprocess.Popen(SLEEP)
    _, watching = _watching(child)
    with pytest.raises(ValueError) as error, watching:
        child.kill()
        raise RuntimeError("connection closed by peer [127.0.0.1]:1234")
    line = f"rank 1 (pid {child.pid}) was killed by SIGKILL; did the memory run out?"
    assert str(error.value) == line


def test_an_error_of_its_own_stays_and_ends_the_others() -> None:
    child = subprocess.Popen(SLEEP)
    watched, watching = _watching(child)
    with pytest.raises(ValueError, match="the loss is nan"), watching:
        while not watched._children:
            time.sleep(0.05)
        raise ValueError("the loss is nan")
    assert child.wait(10) == -signal.SIGKILL


def test_a_rank_that_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "_STOPPED_FOR", 2)
    child = subprocess.Popen(SLEEP)
    watched = Ranks()
    watched._peers = [(1, "here", child.pid)]
    assert watched._fallen() is None
    os.kill(child.pid, signal.SIGSTOP)
    os.waitpid(child.pid, os.WUNTRACED)
    assert watched._fallen() is None
    assert (
        watched._fallen() == f"rank 1 (pid {child.pid}) was stopped by a signal and did not go on"
    )
    assert child.wait(10) == -signal.SIGKILL
    assert watched._fallen() == f"rank 1 (pid {child.pid}) has died"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (-signal.SIGSEGV, "was killed by SIGSEGV"),
        (-signal.SIGKILL, "was killed by SIGKILL; did the memory run out?"),
        (0, "ended with status 0 before the others"),
        (3, "ended with status 3 before the others"),
    ],
)
def test_how_it_ended(code: int, words: str) -> None:
    assert how_it_ended(code) == words
