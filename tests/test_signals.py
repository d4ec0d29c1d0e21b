from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator

import pytest

from cyclip_pl import signals
from cyclip_pl.signals import Stopped
from tests.helpers.processes import Process

ALL = sorted(signals.SIGNALS)


def _send(signum: int) -> None:
    os.kill(os.getpid(), signum)
    time.sleep(0)  # the handler runs before this returns


@pytest.fixture
def deferred() -> Iterator[None]:
    """As while a training runs, in one process."""
    with pytest.raises(Stopped), signals.handled():
        signals.defer(None, None)
        yield


@pytest.mark.parametrize("signum", ALL)
def test_a_signal_outside_a_training_ends_it_at_once(
    signum: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Stopped) as stopped, signals.handled():
        _send(signum)
        pytest.fail("not reached")
    assert stopped.value.code == (130 if signum == signal.SIGINT else 143)
    assert capsys.readouterr().out == f"stopped by {signum.name}; nothing to save\n"


def test_in_a_training_it_is_a_note(deferred: None) -> None:
    _send(signal.SIGTERM)
    assert signals.requested() == signal.SIGTERM
    with pytest.raises(Stopped):
        signals.check()


def test_a_wait_that_is_marked_is_left_at_once(deferred: None) -> None:
    reached = []
    with pytest.raises(Stopped), signals.interruptible():
        _send(signal.SIGTERM)
        reached.append("not here")
    assert not reached


def test_a_note_from_before_is_seen_where_a_wait_begins(deferred: None) -> None:
    _send(signal.SIGTERM)
    with pytest.raises(Stopped), signals.interruptible():
        pytest.fail("not reached")


def test_after_a_marked_wait_signals_are_notes_again(deferred: None) -> None:
    with signals.interruptible():
        pass
    _send(signal.SIGTERM)


def test_one_of_several_ranks_leaves_a_wait_alone_only_to_agree() -> None:
    votes: list[int] = []

    def agree(vote: int) -> int:
        votes.append(vote)
        return signal.SIGHUP if len(votes) == 1 else 0

    with pytest.raises(Stopped), signals.handled():
        signals.defer(agree, None)
        with pytest.raises(Stopped) as stopped, signals.interruptible_together():
            pass  # this rank has no signal, another one has
        assert stopped.value.signum == signal.SIGHUP
        with signals.interruptible(), signals.interruptible_together():
            _send(signal.SIGTERM)
            pytest.fail("not reached")
    assert votes == [0, signal.SIGTERM]


def test_a_signal_that_is_sent_twice_at_once_is_one_wish(deferred: None) -> None:
    # `timeout` does so.
    _send(signal.SIGTERM)
    _send(signal.SIGTERM)


def test_handlers_are_as_before_afterwards() -> None:
    before = [signal.getsignal(s) for s in ALL]
    with signals.handled():
        assert [signal.getsignal(s) for s in ALL] != before
    assert [signal.getsignal(s) for s in ALL] == before


TRAINING = """
import time
from cyclip_pl import signals
with signals.handled():
    signals.defer(None, {limit})
    print("ready", flush=True)
    while True:
        time.sleep(1)
"""


def test_a_second_signal_ends_it_at_once() -> None:
    process = Process(sys.executable, "-c", TRAINING.format(limit=None))
    process.until("ready")
    end = time.monotonic() + 60
    while process.running() and time.monotonic() < end:
        process.send(signal.SIGINT)
        time.sleep(0.6)
    assert process.status() == 130
    assert process.lines() == ["ready", "stopped by SIGINT twice; ended at once"]


def test_ranks_that_do_not_agree_are_ended() -> None:
    process = Process(sys.executable, "-c", TRAINING.format(limit=0.5))
    process.until("ready")
    process.send(signal.SIGTERM)
    assert process.status() == 143
    assert "did not agree on a step" in process.output()


WORKER = """
import multiprocessing, os, signal, time
from cyclip_pl import signals
def work():
    signals.obey_main_process()
    print("ready", flush=True)
    while True: time.sleep(1)
with signals.blocked():
    worker = multiprocessing.get_context("fork").Process(target=work)
    worker.start()
signal.signal(signal.SIGUSR2, lambda *_: worker.terminate())
time.sleep(0.1)
worker.join()
"""


def test_a_worker_hears_the_main_process_alone() -> None:
    process = Process(sys.executable, "-c", WORKER)
    process.until("ready")
    (worker,) = process.processes().keys() - {process.pid}
    for signum in ALL:
        os.kill(worker, signum)
    time.sleep(0.3)
    assert worker in process.processes()
    process.send(signal.SIGUSR2)
    assert process.status() == 0
    assert process.left() == []


def test_a_worker_ends_with_the_main_process() -> None:
    process = Process(sys.executable, "-c", WORKER)
    process.until("ready")
    process.send(signal.SIGKILL)
    assert process.status() == -signal.SIGKILL
    assert process.left() == []
