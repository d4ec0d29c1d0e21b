"""A control group's quota bounds the threads; what the user has set stays."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cyclip_pl import cpu_quota
from cyclip_pl.cpu_quota import limit_threads


@pytest.fixture
def group(tmp_path: Path, monkeypatch) -> Path:
    """A tree of control groups; this process is in `jobs/mine`, on 64 processors."""
    monkeypatch.setenv("OMP_NUM_THREADS", "")  # so that it is restored
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(cpu_quota, "_OWN", tmp_path / "own")
    monkeypatch.setattr(cpu_quota, "_MOUNT", tmp_path / "mount")
    monkeypatch.setattr(cpu_quota, "_processors", lambda: 64)
    (tmp_path / "own").write_text("0::/jobs/mine\n")
    (tmp_path / "mount/jobs/mine").mkdir(parents=True)
    return tmp_path / "mount"


def _threads() -> str | None:
    limit_threads()
    return os.environ.get("OMP_NUM_THREADS")


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        ("200000 100000", "2"),
        ("150000 100000", "2"),
        ("50000 100000", "1"),
        ("max 100000", None),
        ("6400000 100000", None),
        ("", None),
    ],
)
@pytest.mark.parametrize("folder", ["", "jobs", "jobs/mine"])
def test_version_2(group: Path, folder: str, quota: str, expected: str | None) -> None:
    (group / folder / "cpu.max").write_text(quota + "\n")
    assert _threads() == expected


def test_the_least_of_the_groups_above_counts(group: Path) -> None:
    (group / "jobs/mine/cpu.max").write_text("800000 100000")
    (group / "jobs/cpu.max").write_text("300000 100000")
    assert _threads() == "3"


@pytest.mark.parametrize(("quota", "expected"), [("250000", "3"), ("-1", None)])
@pytest.mark.parametrize("folder", ["cpu", "cpu/docker/abc"])
def test_version_1(
    group: Path, tmp_path: Path, folder: str, quota: str, expected: str | None
) -> None:
    """Within a container the path is the host's, and the mount is the container's group."""
    (tmp_path / "own").write_text("3:memory:/docker/abc\n1:cpu,cpuacct:/docker/abc\n0::/\n")
    (group / folder).mkdir(parents=True)
    (group / folder / "cpu.cfs_quota_us").write_text(quota + "\n")
    (group / folder / "cpu.cfs_period_us").write_text("100000\n")
    assert _threads() == expected


def test_what_the_user_has_set_stays(group: Path, monkeypatch) -> None:
    (group / "cpu.max").write_text("200000 100000")
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert _threads() == "5"


def test_other_systems_have_no_control_groups(group: Path, tmp_path: Path) -> None:
    (tmp_path / "own").unlink()
    assert _threads() is None
