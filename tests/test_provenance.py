from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import cyclip_pl
from cyclip_pl import provenance as module
from cyclip_pl.provenance import git_revision, provenance, write_provenance


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@b.invalid"]
    command = ["git", "-C", str(folder), *who, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository of one commit."""
    git(tmp_path, "init", "-q")
    (tmp_path / "code.py").write_text("x = 1\n")
    (tmp_path / ".gitignore").write_text("runs/\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    return tmp_path


def test_it_is_plain_and_names_versions_command_and_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", "data.train.shards=a b"])
    made_by = provenance(torch.device("cpu"))
    assert made_by["cyclip_pl"] == cyclip_pl.__version__
    assert made_by["packages"]["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    assert None not in made_by["packages"].values()
    assert made_by["command"] == "train.py 'data.train.shards=a b'"
    assert made_by["device"] == "cpu" and made_by["cpu"]
    assert torch.backends.cpu.get_cpu_capability() in made_by["cpu_kind"]
    write_provenance(tmp_path, made_by)
    assert json.loads((tmp_path / "provenance.json").read_text()) == made_by


def test_edited_and_new_files_make_it_dirty_and_ignored_ones_do_not(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (checkout / "runs").mkdir()
    (checkout / "runs/metrics.json").write_text("{}")
    clean = {"revision": git(checkout, "rev-parse", "HEAD"), "dirty": False}
    monkeypatch.setenv("GIT_DIR", "/nowhere")  # as in a hook of another repository
    assert git_revision(checkout) == clean
    (checkout / "objective.py").write_text("")
    assert git_revision(checkout) == clean | {"dirty": True}
    (checkout / "objective.py").unlink()
    (checkout / "code.py").write_text("x = 2\n")
    assert git_revision(checkout) == clean | {"dirty": True}


def test_the_repository_of_something_else_does_not_count(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = checkout / "site-packages"
    installed.mkdir()
    assert git_revision(installed) is None
    monkeypatch.setenv("PATH", "")
    assert git_revision(checkout) is None, "without git"


@pytest.mark.parametrize(
    ("cpuinfo", "capability", "kind"),
    [
        ("AuthenticAMD 25 1 avx2", "AVX2", "AMD family 25 model 1, AVX2"),
        ("GenuineIntel 6 85 avx512f", "AVX512", "Intel family 6 model 85, AVX512"),
        ("AuthenticAMD 26 2 avx512_bf16", "AVX512", "AMD family 26 model 2, AVX512 + bfloat16"),
        ("AuthenticAMD 26 2 avx512_bf16", "AVX2", "AMD family 26 model 2, AVX2"),
    ],
)
def test_a_cpu_is_its_vendor_family_and_instruction_set(
    cpuinfo: str, capability: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = dict(
        zip(("vendor_id", "cpu family", "model", "flags"), cpuinfo.split(" "), strict=True)
    )
    monkeypatch.setattr(module, "_of_cores", lambda field: [fields[field]] * 2)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert module.cpu() == kind
