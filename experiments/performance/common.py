"""Shared by the benchmarks: the machine, times in turns, peak memory in a fresh process."""

from __future__ import annotations

import csv
import os
import platform
import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from cyclip_pl.provenance import cpu, cpu_name


def machine(*packages: str) -> str:
    """Processor, cores and versions, for the head of a table."""
    cores, processor = os.cpu_count(), cpu_name()
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    python = platform.python_version()
    return f"{cores} × {processor} ({cpu()}); Python {python}, {versions}"


def available_bytes() -> int:
    """Memory that is available without swapping."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/meminfo has no MemAvailable")


def peak_bytes() -> int:
    """The most memory that this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def write(rows: list[dict[str, Any]], fields: list[str], path: Path) -> None:
    """A CSV with these columns."""
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, fields, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


# The time that passes, and the time that the process's threads work. If others use the machine, one
# thread's work is the time that it would take alone.
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def seconds(function: Callable[[], Any], clock: str = "wall") -> float:
    """The time of one call."""
    start = CLOCKS[clock]()
    function()
    return CLOCKS[clock]() - start


def alternating(
    functions: dict[str, Callable[[], Any]], rounds: int, clock: str = "wall"
) -> dict[str, list[float]]:
    """Seconds of each function by round; they take turns, so that a busy machine slows all."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            times[name].append(seconds(function, clock))
    return times


def alone(function: Callable[..., Any], *args: Any) -> Any:
    """`function(*args)` in a fresh process; raises BrokenProcessPool if that is killed."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *args).result()
