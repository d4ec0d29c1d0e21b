"""What is installed: the wheel, and the versions that it asks for."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import cyclip_pl

ROOT = Path(__file__).parents[1]


def test_the_oldest_versions_are_the_lower_bounds() -> None:
    dependencies = re.search(r"^dependencies = \[\n(.*?)^\]", pyproject(), re.M | re.S)
    assert dependencies
    bounds = dict(re.findall(r'"([\w-]+)(?:\[\w+\])?>=([\d.]+)', dependencies[1]))
    assert len(bounds) == len(dependencies[1].splitlines()), "each has a lower bound"
    oldest = (ROOT / "requirements.oldest").read_text()
    pins = dict(re.findall(r"^([\w-]+)==([\d.]+)$", oldest, re.M))
    assert pins.keys() == bounds.keys()
    for name, bound in bounds.items():
        assert f"{pins[name]}.".startswith(f"{bound}."), name


def test_packages_with_undocumented_parts_are_bounded_above() -> None:
    for name in ("lightning", "hydra-core", "omegaconf"):
        assert re.search(rf'"{name}>=[\d.]+,<[\d.]+"', pyproject()), name


def pyproject() -> str:
    return (ROOT / "pyproject.toml").read_text()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel's files alone."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    build = ["wheel", "--no-deps", "--no-build-isolation", f"--wheel-dir={folder}", str(ROOT)]
    pip(*build)
    (wheel,) = folder.glob("*.whl")
    assert wheel.name == f"cyclip_pl-{cyclip_pl.__version__}-py3-none-any.whl"
    pip("install", "--no-deps", f"--target={folder}/site", str(wheel))
    return folder / "site"


def pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--no-input", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_it_carries_what_is_no_code(site: Path) -> None:
    for name in ("conf/train.yaml", "conf/objective/cyclip.yaml", "py.typed"):
        assert (site / "cyclip_pl" / name).is_file(), name
    carried = {p.suffix for p in (site / "cyclip_pl").rglob("*") if p.is_file()}
    here = {p.suffix for p in (ROOT / "cyclip_pl").rglob("*") if p.is_file()}
    assert here <= carried, "templates and tables as well"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "arguments", "shown"),
    [
        ("cyclip-train", ["--cfg", "job"], "_target_: cyclip_pl.objectives.cyclip.CyCLIP"),
        ("cyclip-eval", ["--help"], "checkpoint: ???"),
    ],
)
def test_its_commands_work_in_an_empty_folder(
    site: Path, tmp_path: Path, script: str, arguments: list[str], shown: str
) -> None:
    done = subprocess.run(
        [sys.executable, str(site / "bin" / script), *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert shown in done.stdout
    assert not list(tmp_path.iterdir())
