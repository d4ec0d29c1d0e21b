"""Training commands as processes: wait for a line, send a signal, see what is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.helpers.world import shrunk

ROOT = Path(__file__).parents[2]
# For what would hang otherwise.
SECONDS = 240.0


class Process:
    """A command in a process group of its own; its descendants are known by a variable."""

    def __init__(self, *command: str, cwd: str | Path = ROOT, **environment: str) -> None:
        self.mark = uuid.uuid4().hex
        self._file = tempfile.TemporaryFile("w+")  # noqa: SIM115  # closed with the object
        self._process = subprocess.Popen(
            command,
            cwd=cwd,
            stdout=self._file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "MARK": self.mark}
            | environment,
        )
        self.pid = self._process.pid

    def output(self) -> str:
        self._file.seek(0)
        return self._file.read()

    def lines(self) -> list[str]:
        """What it printed, without what every run tells: its overview, steps and logs."""
        skipped = ("device: ", "model: ", "data: ", "step ", "[20")
        return [line for line in self.output().splitlines() if not line.startswith(skipped)]

    def until(self, there: str | Callable[[], object]) -> None:
        """Wait for a piece of the output, or for a condition."""
        end = time.monotonic() + SECONDS
        while not (there in self.output() if isinstance(there, str) else there()):
            assert self._process.poll() is None, f"it has ended: {self.output()}"
            assert time.monotonic() < end, f"{there}: not in {self.output()}"
            time.sleep(0.05)

    def running(self) -> bool:
        return self._process.poll() is None

    def send(self, signum: int) -> None:
        """To the process alone."""
        os.kill(self.pid, signum)

    def send_to_all(self, signum: int) -> None:
        """To its process group, as Ctrl-C in a terminal does."""
        os.killpg(self.pid, signum)

    def rank(self, rank: int) -> int:
        """The process of a rank that it has started."""
        mark = f"LOCAL_RANK={rank}".encode()
        found = []
        for pid in self.processes():
            with suppress(OSError):
                status = Path(f"/proc/{pid}/stat").read_text()
                if mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                    found.append((int(status.rpartition(")")[2].split()[1]) != self.pid, pid))
        return min(found)[1]  # its workers have the variable too

    def status(self) -> int:
        """Wait for the end."""
        try:
            return self._process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it hangs: {self.output()}") from None

    def left(self) -> list[str]:
        """Its descendants that are still there, a moment after the end; they are killed."""
        end = time.monotonic() + 15
        while (found := self.processes()) and time.monotonic() < end:
            time.sleep(0.1)
        commands = [f"{pid} {command}" for pid, command in found.items()]
        for pid in found:
            os.kill(pid, signal.SIGKILL)
        return commands

    def processes(self) -> dict[int, str]:
        """It and its descendants that run, with their command lines."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if f"MARK={self.mark}".encode() in (folder / "environ").read_bytes():
                    text = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    found[int(folder.name)] = text
            except OSError:
                pass
        return found

    def __del__(self) -> None:
        self.kill()

    def kill(self) -> None:
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)
        self._process.wait()


def train(world: Path, folder: Path, *more: str, **environment: str) -> Process:
    """`python train.py` in the small world: steps without end, a line for each."""
    return Process(sys.executable, *endless(world, folder), *more, **environment)


def endless(world: Path, folder: Path) -> list[str]:
    """`train.py` and its overrides, for `python` or `torchrun`; without evaluations."""
    return [
        str(ROOT / "train.py"),
        *(override for override in shrunk(world) if not override.startswith("evaluation.")),
        "data.batch_size=8",
        "evaluation=[]",
        "callbacks.best.monitor=null",
        "callbacks.progress.lines_every=1",
        "trainer.max_steps=1000000",
        f"hydra.run.dir={folder}",
    ]
