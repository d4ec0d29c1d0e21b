"""When a rank dies, all ranks end, and one line says which."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import lightning as L

from cyclip_pl import signals
from cyclip_pl.distributed import objects_of_all

_EVERY = 0.5  # seconds between two looks
_STOPPED_FOR = 20  # looks in a row: Ctrl-Z and fg do not reach all ranks at the same time
_PATIENCE = 5.0  # seconds for a rank to end by itself, so that its loggers are closed


class Ranks(L.Callback):
    """Watches the other ranks of this machine from a thread, from `watching` to the last step.

    Without it they would wait for a dead rank in a collective: over gloo they get an error that
    names an address, over NCCL nothing for half an hour. A rank of another machine shows when all
    ranks of its machine have ended, and so closed their connections.
    """

    def __init__(self) -> None:
        self.rank = 0
        self._launcher: Any = None
        self._children: list[subprocess.Popen[bytes]] = []
        self._peers: Sequence[tuple[int, str, int]] = ()  # rank, host, process
        self._looks_stopped: dict[int, int] = {}
        self._over = threading.Event()
        self._verdict: str | None = None
        self._status = 1

    @contextmanager
    def watching(self, trainer: L.Trainer) -> Iterator[None]:
        """Around `trainer.fit`, which starts the other ranks.

        Raises:
            ValueError: Another rank has died; it names the rank. It replaces what the collectives
                say about that.
        """
        if trainer.num_devices * trainer.num_nodes == 1:
            yield
            return
        self.rank, self._launcher = trainer.global_rank, trainer.strategy.launcher
        signals.forward_to(self._children)
        threading.Thread(target=self._watch, daemon=True, name="ranks").start()
        try:
            yield
        except Exception as error:
            verdict = self._wait_for_verdict() if isinstance(error, RuntimeError) else None
            self._over.set()
            for child in self._children:
                child.kill()
            if verdict:
                raise ValueError(verdict) from error
            if self.rank:
                # Where all ranks fail alike, the first one says why, and ends the others.
                time.sleep(3)
            raise
        finally:
            self._over.set()
            self._leave_nobody()

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        host = socket.gethostname()
        everybody = objects_of_all((trainer.global_rank, host, os.getpid()))
        self._peers = [p for p in everybody if p[0] != trainer.global_rank and p[1] == host]

    def on_train_end(self, *unused: Any) -> None:
        self._over.set()  # from now on ranks may end, each in its time

    def on_exception(self, trainer: L.Trainer, pl_module: Any, exception: BaseException) -> None:
        if isinstance(exception, signals.Stopped):
            self._over.set()

    def _leave_nobody(self) -> None:
        """Wait until the ranks that this process has started have ended."""
        for child in self._children:
            with suppress(subprocess.TimeoutExpired):
                child.wait(10)
            child.kill()

    def _watch(self) -> None:
        while not self._over.wait(_EVERY):
            # Taken from Lightning's own observer, which kills this process without a word.
            started = getattr(self._launcher, "procs", [])
            while started:
                self._children.append(started.pop(0))
            self._verdict = self._fallen()
            if self._verdict:
                break
        if not self._over.wait(_PATIENCE):
            os.write(2, f"error: {self._verdict}\n".encode())
            signals.end_now(self._status)

    def _wait_for_verdict(self) -> str | None:
        until = time.monotonic() + 3
        while self._verdict is None and time.monotonic() < until:
            time.sleep(0.1)
        return self._verdict

    def _fallen(self) -> str | None:
        """A line about a rank that has died, or that does nothing any more."""
        if signals.LAUNCHED and os.getppid() != signals.PARENT:
            by = "torchrun" if "TORCHELASTIC_RUN_ID" in os.environ else "rank 0"
            return f"{by} (pid {signals.PARENT}) has died"
        for rank, child in enumerate(self._children, self.rank + 1):
            code = child.poll()
            if code is not None:
                self._status = code if code in (130, 143) else 1
                return f"rank {rank} (pid {child.pid}) {how_it_ended(code)}"
        children = {child.pid for child in self._children}
        for rank, _, pid in self._peers:
            state = _state(pid)
            if state in "ZX" and pid not in children:  # a child's end is told above, with its cause
                return f"rank {rank} (pid {pid}) has died"
            self._looks_stopped[rank] = self._looks_stopped.get(rank, 0) + 1 if state == "T" else 0
            if self._looks_stopped[rank] >= _STOPPED_FOR:
                os.kill(pid, signal.SIGKILL)  # it would stay
                return f"rank {rank} (pid {pid}) was stopped by a signal and did not go on"
        return None


def how_it_ended(code: int) -> str:
    """The return code of a `Popen` in words."""
    if code >= 0:
        return f"ended with status {code} before the others"
    name = signal.Signals(-code).name
    return f"was killed by {name}" + ("; did the memory run out?" if name == "SIGKILL" else "")


def _state(pid: int) -> str:
    """The letter of a process's state, as `ps` shows it; X if it is gone."""
    try:
        # The name before it may hold anything, brackets as well.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"
