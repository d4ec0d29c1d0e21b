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
from pathlib import Path

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
        """What it printed, without the lines of steps and logs."""
        skipped = ("step ", "[20")
        return [line for line in self.output().splitlines() if not line.startswith(skipped)]

    def until(self, there: str | Callable[[], object]) -> None:
        """Wait for a piece of the output, or for a condition."""
        end = time.monotonic() + SECONDS
        while not (there in self.output() if isinstance(there, str) else there()):
            assert self._process.poll() is None, f"it has ended: {self.output()}"
            assert time.monotonic() < end, f"{there}: not in {self.output()}"
            time.sleep(0.05)

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

    def kill(self) -> None:
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)
        self._process.wait()


def python(script: str, *arguments: str, **environment: str) -> Process:
    """`python SCRIPT …`, a script of the project, at its root."""
    return Process(sys.executable, str(ROOT / script), *arguments, **environment)
