"""What ends a run from outside: SIGTERM, SIGINT (Ctrl-C), SIGHUP, and SIGUSR1, as Slurm sends it.

Python runs a signal's handler between any two of its instructions, so also in the middle of an
optimizer's step. While a training runs, the handler therefore makes a note only. The training
looks at it after each step, and marks the waits that may be left at once as `interruptible`.

Imports are light: the handlers are set before torch is imported.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, NoReturn

SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1})
PARENT = os.getppid()
# Whether Lightning or torchrun started this process as one rank of several. Lightning's first rank
# gets the variable later.
LAUNCHED = "LOCAL_RANK" in os.environ
# `timeout`, torchrun and Slurm signal a process directly and through its group: that is one wish.
_SAME_WISH = 1.0  # seconds


class Stopped(SystemExit):
    """A signal ends this process: with status 130 for SIGINT, and 143 for the others."""

    def __init__(self, signum: int) -> None:
        super().__init__(130 if signum == signal.SIGINT else 143)
        self.signum = signum
        self.told = False

    def __str__(self) -> str:
        return f"stopped by {signal.Signals(self.signum).name}"

    def tell(self, more: str) -> None:
        """Say so once, in a line of the first rank."""
        if not self.told and is_first_rank():
            print(f"{self}{more}", flush=True)
        self.told = _state.told = True


@dataclass
class _State:
    requested: int = 0  # the first signal
    deferred: bool = False  # whether handlers make a note only
    safe: bool = False  # …except now
    # Asks all ranks for the largest of their requests; None if this process is alone.
    agree: Callable[[int], int] | None = None
    told: bool = False  # whether the line is printed
    limit: float | None = None  # seconds for the ranks to agree
    children: list[Any] = field(default_factory=list)  # ranks that this process has started
    elsewhere: bool = False  # whether other processes run the jobs of a sweep


_state = _State()


def is_first_rank() -> bool:
    """Whether this is rank 0, by the environment: a process group may not be there yet."""
    # A shell within a Slurm job has SLURM_PROCID too, so Lightning's LOCAL_RANK counts before it.
    names = ("RANK", "LOCAL_RANK", "SLURM_PROCID")
    own = next((os.environ[name] for name in names if name in os.environ), "0")
    return own == os.environ.get("NODE_RANK", "0") == "0"


@contextmanager
def handled() -> Iterator[None]:
    """Inside, a signal ends what runs by `Stopped`; a second one ends the process at once."""
    global _state
    _state = _State()
    # A program started by nohup keeps running when its terminal is closed.
    caught = {s for s in SIGNALS if s != signal.SIGHUP or signal.getsignal(s) != signal.SIG_IGN}
    before = {signum: signal.signal(signum, _note) for signum in caught}
    if LAUNCHED:
        before[signal.SIGUSR2] = signal.signal(signal.SIGUSR2, _note_first_rank)
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_listen, args=(reader,), daemon=True, name="signals").start()
    try:
        try:
            yield
        except Exception:
            if _state.elsewhere:  # the signal ended jobs
                check()
            raise
        check()  # a sweep does not go on to the next job
    except Stopped as stopped:
        stopped.tell("" if _state.elsewhere else "; nothing to save")
        end_workers()
        raise
    finally:
        signal.set_wakeup_fd(-1)
        writer.close()
        for signum, handler in before.items():
            signal.signal(signum, handler)


def requested() -> int:
    """The first signal that came, or 0."""
    return _state.requested


def check() -> None:
    """Raise `Stopped` if a signal has come."""
    if _state.requested:
        raise Stopped(_state.requested)


def defer(agree: Callable[[int], int] | None, limit: float | None) -> None:
    """From now on handlers make a note only; `agree` and `limit` are for several ranks."""
    _state.deferred, _state.agree, _state.limit = True, agree, limit
    check()


def agreed() -> None:
    """All ranks are about to stop: what they do now may take its time."""
    _state.limit = None


def undefer() -> None:
    """The opposite of `defer`."""
    _state.deferred, _state.agree, _state.limit = False, None, None


def jobs_run_elsewhere() -> None:
    """From now on other processes run the jobs of a sweep: they save what there is to save."""
    _state.elsewhere = True
    check()


def forward_to(children: list[Any]) -> None:
    """Tell these `Popen` when a signal has come; kill them if this process has to end at once."""
    _state.children = children


@contextmanager
def interruptible() -> Iterator[None]:
    """Inside, a signal raises `Stopped` at once, unless there are several ranks.

    For what takes long and does not change the state of the training.
    """
    before, _state.safe = _state.safe, _state.agree is None
    try:
        if _state.safe and _state.deferred:
            check()
        yield
    finally:
        _state.safe = before


@contextmanager
def interruptible_together() -> Iterator[None]:
    """As `interruptible`, for several ranks: all enter, and all leave it in the same way.

    There must be no collective inside.
    """
    agree = _state.agree
    if agree is None:
        yield
        return
    _state.safe = True
    try:
        check()
        yield
    except Stopped:
        pass
    finally:
        _state.safe = False
    if signum := agree(_state.requested):
        raise Stopped(signum)


def _note(signum: int, frame: object) -> None:
    if _state.requested:
        return
    _state.requested = signum
    if _state.elsewhere and (jobs := multiprocessing.active_children()):
        # joblib's; this process ends behind them.
        _state.children = jobs
        for job in jobs:
            if job.pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(job.pid, signum)
        return
    if _state.deferred:
        for child in _state.children:
            child.send_signal(signal.SIGUSR2)
    if _state.safe or not _state.deferred:
        raise Stopped(signum)


def _note_first_rank(signum: int, frame: object) -> None:
    """The first rank is about to stop: leave what it has left. Not a wish of its own."""
    if _state.safe:
        raise Stopped(signum)


def _listen(reader: socket.socket) -> None:
    """In a thread, since the main one may hang in a collective, where it runs no handlers."""
    reader.settimeout(1.0)
    first: float | None = None
    while True:
        waited = 0.0 if first is None else time.monotonic() - first
        if _state.limit is not None and waited > _state.limit:
            _end_now(f": the ranks did not agree on a step in {_state.limit:.0f} s; nothing saved")
        try:
            received = reader.recv(1)
        except TimeoutError:
            continue
        if not received:
            return
        if received[0] in SIGNALS:
            first = first or time.monotonic()
            if time.monotonic() - first > _SAME_WISH:
                _end_now(" twice; ended at once")


def _end_now(why: str) -> NoReturn:
    stopped = Stopped(_state.requested or signal.SIGTERM)
    if is_first_rank() and not _state.told:
        os.write(1, f"{stopped}{why}\n".encode())
    end_now(int(str(stopped.code)))


def end_now(status: int) -> NoReturn:
    """End this process and the ranks that it has started, whatever they do."""
    for child in _state.children:
        child.kill()
    os._exit(status)


@contextmanager
def blocked() -> Iterator[None]:
    """Around the start of worker processes: they are born deaf, see `obey_main_process`."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def obey_main_process(worker: int = 0) -> None:
    """In a worker process: only the process that started it ends it, by SIGTERM or its own end.

    A signal to the whole process group reaches workers as well. They go on, so that the main
    process can reach its next safe point.
    """
    parent = os.getppid()
    # Used by the thread that hands over batches, whose receiver may leave at any moment.
    sys.excepthook = lambda *unused: None
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG

    def listen() -> None:
        while True:
            received = signal.sigwaitinfo(SIGNALS)
            if received.si_signo == signal.SIGTERM and received.si_pid == parent:
                os._exit(0)

    threading.Thread(target=listen, daemon=True, name="signals").start()


def end_workers() -> None:
    """End the worker processes: one that hangs in a read would be waited for."""
    for worker in multiprocessing.active_children():
        worker.terminate()
