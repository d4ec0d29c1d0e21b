"""The slice that Linux notes for a process and for the threads that it starts."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from cyclip_pl import time_slice

READ = """
import ctypes, os, struct, threading
def attributes():
    buffer = ctypes.create_string_buffer(48)
    assert ctypes.CDLL(None).syscall({x86_64: 315, aarch64: 275}[machine], 0, buffer, 48, 0) == 0
    return struct.unpack("=IIQiIQQQ", buffer.raw)
"""


def _told(*lines: str) -> list[str]:
    read = READ.replace("x86_64", "'x86_64'").replace("aarch64", "'aarch64'")
    code = "\n".join([f"machine = {platform.machine()!r}", read, *lines])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def _has_slices() -> bool:
    release = [int(part) for part in platform.release().split("-")[0].split(".")[:2]]
    known = sys.platform == "linux" and platform.machine() in ("x86_64", "aarch64")
    return known and release >= [6, 12]


@pytest.mark.skipif(not _has_slices(), reason="needs Linux 6.12")
def test_threads_have_it_and_the_niceness_stays() -> None:
    told = _told(
        "os.nice(3)",
        "from cyclip_pl.time_slice import shorten_slices",
        "shorten_slices()",
        "show = lambda: print(attributes()[5], attributes()[3])",
        "thread = threading.Thread(target=show); thread.start(); thread.join(); show()",
    )
    nice = str(os.nice(0) + 3)
    assert told == [str(time_slice.NANOSECONDS), nice] * 2


@pytest.mark.skipif(not _has_slices(), reason="needs Linux 6.12")
def test_another_policy_stays() -> None:
    told = _told(
        "os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))",
        "before = attributes()",
        "from cyclip_pl.time_slice import shorten_slices",
        "shorten_slices()",
        "print(attributes() == before)",
    )
    assert told == ["True"]


def test_elsewhere_nothing_happens(monkeypatch) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("no system call")

    monkeypatch.setattr(time_slice.ctypes, "CDLL", refused)
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    time_slice.shorten_slices()
    monkeypatch.setattr(sys, "platform", "darwin")
    time_slice.shorten_slices()
