"""No more threads than a container's share of the processors, set before PyTorch is loaded."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

_THREADS = "OMP_NUM_THREADS"
_OWN, _MOUNT = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def limit_threads() -> None:
    """Let OpenMP take as many threads as the control group's quota gives processors.

    The library counts the processors of the affinity mask, and not the quota that `docker run
    --cpus=2` or a Kubernetes limit sets: 64 threads would share the time of two. Nothing changes
    where OMP_NUM_THREADS is set.
    """
    quota = min(_quotas(), default=math.inf)
    if _THREADS not in os.environ and quota < _processors():
        os.environ[_THREADS] = str(max(1, math.ceil(quota)))


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quotas() -> Iterator[float]:
    """Processors that the control group of this process and those above it may use."""
    try:
        lines = _OWN.read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = _MOUNT / "cpu" if controllers else _MOUNT
        own = mount / path.lstrip("/")
        # Within a container the path may be the host's; the mount itself is the container's group.
        for folder in (own, *own.parents):
            if folder == mount.parent:
                break
            yield from _quota(folder)


def _quota(folder: Path) -> Iterator[float]:
    try:
        if (file := folder / "cpu.max").exists():
            quota, period = file.read_text().split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text()
    except (OSError, ValueError):
        return
    if quota not in ("max", "-1"):
        yield int(quota) / int(period)
