"""A command sets how OpenMP's threads wait before PyTorch is loaded; a library does not."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from cyclip_pl.waiting import SETTINGS, SPINS, wait_briefly


@pytest.fixture(autouse=True)
def unset(monkeypatch) -> None:
    for name in SETTINGS:
        monkeypatch.setenv(name, "")  # so that it is restored
        monkeypatch.delenv(name)


def loaded(*lines: str, **environment: str) -> str:
    """What libgomp says of its settings when PyTorch loads it, behind these lines."""
    code = "\n".join(["import sys", *lines, "assert 'torch' not in sys.modules", "import torch"])
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "OMP_DISPLAY_ENV": "VERBOSE", **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_it_is_set_unless_the_user_has_set_anything_of_the_kind(monkeypatch) -> None:
    wait_briefly()
    assert os.environ.pop("GOMP_SPINCOUNT") == SPINS
    for name in SETTINGS:
        monkeypatch.setenv(name, "5")
        before = dict(os.environ)
        wait_briefly()
        assert os.environ == before
        monkeypatch.delenv(name)


@pytest.mark.slow
def test_a_command_sets_it_before_the_library_reads_it() -> None:
    command = "from cyclip_pl import cli, jobs; jobs.prepare()"
    if "GOMP_SPINCOUNT" not in (default := loaded("import cyclip_pl.cli")):
        pytest.skip("this PyTorch has another OpenMP library than GNU's")
    assert f"GOMP_SPINCOUNT = '{SPINS}'" not in default, "an import alone changes nothing"
    assert f"GOMP_SPINCOUNT = '{SPINS}'" in loaded(command)
    assert "GOMP_SPINCOUNT = '7'" in loaded(command, GOMP_SPINCOUNT="7")
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in loaded(command, OMP_WAIT_POLICY="passive")
