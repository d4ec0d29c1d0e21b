"""Images per second of the default run beside busy processes, by how OpenMP's threads wait.

    python experiments/performance/busy.py [--waits library,ours --rounds 3]

Each way to wait has a process of its own, since libgomp reads its environment when it is loaded.
The process trains the composed default configuration with the emoji shards (`make data`), without
evaluations and loggers. Beside it run processes with an endless Python loop and the same priority:
none, one, two, or "1 apart", one in a session of its own, as a program in another terminal: Linux
may give it as much as all threads of the training get together. All cells of a round take turns:
one process computes, the others sleep. Rates are medians over the rounds, and shares are against
the first way with most threads and no busy process. `others` is the median share of the machine
that further processes took: on a quiet machine it is below 0.05.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from common import cpu, machine, write

ROOT = Path(__file__).parents[2]
FIELDS = ["cpu", "wait", "threads", "busy", "images_per_second", "least", "most", "share", "others"]
LIBRARY = "library"  # what libgomp does if nobody sets anything
OURS = "ours"  # what the commands set
TURNS = Path(__file__).with_name("turns.py")
READ_BY_OPENMP = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "OMP_NUM_THREADS")
LOOP = [sys.executable, "-c", "while True: pass"]
BESIDE = {"0": slice(0), "1": slice(1), "2": slice(2), "1 apart": slice(2, 3)}


class Cell(NamedTuple):
    wait: str
    threads: int
    busy: str


class Trainer:
    """A process that trains, and stops between two steps when it is not its turn.

    `ours+GOMP_SPINCOUNT=1000` is what the commands do where the environment has this value.
    """

    def __init__(self, wait: str) -> None:
        environment = {k: v for k, v in os.environ.items() if k not in READ_BY_OPENMP}
        parts = wait.split("+")
        environment.update(one.split("=") for one in parts if one not in (LIBRARY, OURS))
        self.process = subprocess.Popen(
            [sys.executable, TURNS, *(["--ours"] if OURS in parts else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment,
        )

    def turn(self, threads: int, seconds: float) -> float:
        """Images per second."""
        assert self.process.stdin and self.process.stdout
        told = json.dumps({"threads": threads, "seconds": seconds})
        print(told, file=self.process.stdin, flush=True)
        return float(self.process.stdout.readline())

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


@contextmanager
def loops() -> Iterator[list[int]]:
    """Three processes with an endless loop, the last one in a session of its own; stopped."""
    started = [subprocess.Popen(LOOP, start_new_session=n == 2) for n in range(3)]
    try:
        for loop in started:
            loop.send_signal(signal.SIGSTOP)
        yield [loop.pid for loop in started]
    finally:
        for loop in started:
            loop.kill()
            loop.wait()


def used(pids: list[int]) -> float:
    """Seconds of processor time that these processes have used."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def used_by_all() -> float:
    """Seconds of processor time that anybody has used, on all cores."""
    fields = [int(x) for x in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")  # not idle, not iowait


def measure(trainer: Trainer, threads: int, beside: list[int], seconds: float) -> tuple[float, ...]:
    """Images per second, and the share of the machine that others used."""
    pids = [trainer.process.pid, *beside]
    for pid in beside:
        os.kill(pid, signal.SIGCONT)
    start, ours, whole = time.perf_counter(), used(pids), used_by_all()
    try:
        rate = trainer.turn(threads, seconds)
    finally:
        for pid in beside:
            os.kill(pid, signal.SIGSTOP)
    passed = time.perf_counter() - start
    others = used_by_all() - whole - (used(pids) - ours)
    return rate, max(0.0, others) / passed / (os.cpu_count() or 1)


def rounds(options: argparse.Namespace) -> dict[Cell, list[tuple[float, ...]]]:
    cells = [Cell(w, n, b) for n in options.threads for b in options.busy for w in options.waits]
    # A single thread waits for nobody: once for all ways.
    cells = [cell for cell in cells if cell.threads > 1 or cell.wait == options.waits[0]]
    found: dict[Cell, list[tuple[float, ...]]] = {cell: [] for cell in cells}
    trainers = {wait: Trainer(wait) for wait in options.waits}
    with loops() as pids:
        for trainer in trainers.values():
            trainer.turn(max(options.threads), 0.0)  # it has begun to train
        for _ in range(options.rounds):
            for cell in cells:
                beside = pids[BESIDE[cell.busy]]
                rate = measure(trainers[cell.wait], cell.threads, beside, options.seconds)
                found[cell].append(rate)
                print(*cell, *(f"{x:.3g}" for x in rate), sep="\t", flush=True)
    for trainer in trainers.values():
        trainer.close()
    return found


def rows(found: dict[Cell, list[tuple[float, ...]]]) -> list[dict[str, Any]]:
    rates = {cell: [rate for rate, _ in measured] for cell, measured in found.items()}
    first = next(iter(found)).wait
    alone = statistics.median(rates[Cell(first, max(cell.threads for cell in found), "0")])
    made = []
    for cell, measured in found.items():
        rate = statistics.median(rates[cell])
        spread = round(min(rates[cell]), 1), round(max(rates[cell]), 1)
        others = statistics.median(share for _, share in measured)
        values = cpu(), *cell, round(rate, 1), *spread, round(rate / alone, 2), round(others, 2)
        made.append(dict(zip(FIELDS, values, strict=True)))
    return made


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = lambda text: text.split(",")  # noqa: E731
    numbers = lambda text: [int(n) for n in text.split(",")]  # noqa: E731
    default = [LIBRARY, OURS, "GOMP_SPINCOUNT=1000", "OMP_WAIT_POLICY=passive"]
    parser.add_argument("--waits", type=names, default=default, help="NAME=VALUE, joined by +")
    parser.add_argument("--threads", type=numbers, default=[1, 2])
    parser.add_argument("--busy", type=names, default=list(BESIDE))
    parser.add_argument("--seconds", type=float, default=3.0, help="of a cell")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".csv"))
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the loops end, too
    print(machine("torch", "lightning"))
    made = rows(rounds(options))
    print(*FIELDS, sep="\t")
    for row in made:
        print(*row.values(), sep="\t")
    write(made, FIELDS, options.output)


if __name__ == "__main__":
    main()
