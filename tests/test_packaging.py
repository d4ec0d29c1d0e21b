"""What is installed: the wheel, and the versions that it asks for."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import cyclip_pl

ROOT = Path(__file__).parents[1]
SCRIPTS = re.findall(r"^(cyclip-\w+) = ", (ROOT / "pyproject.toml").read_text(), re.M)


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


def requirements(*extras: str) -> Iterator[Requirement]:
    """What the package and these extras ask for, with the extras that they name."""
    text = pyproject()
    block = re.search(r"^dependencies = \[\n(.*?)^\]", text, re.M | re.S)
    assert block
    todo = [block[1]]
    for extra in extras:
        found = re.search(rf"^{extra} = \[(.*?)\]\n", text, re.M | re.S)
        assert found, f"there is no extra {extra}"
        todo.append(found[1])
    for line in re.findall(r'"([^"]+)"', "\n".join(todo)):
        requirement = Requirement(line)
        if requirement.name == "cyclip-pl":
            yield from requirements(*requirement.extras)
        else:
            yield requirement


def test_all_is_every_extra_for_users() -> None:
    block = re.search(r"^\[project.optional-dependencies\]\n(.*?)^\[", pyproject(), re.M | re.S)
    assert block
    extras = set(re.findall(r"^(\w+) = \[", block[1], re.M))
    named = re.search(r"^all = \[\n(.*?)^\]", block[1], re.M | re.S)
    assert named
    listed = {
        one for names in re.findall(r"cyclip-pl\[(.*?)\]", named[1]) for one in names.split(",")
    }
    assert listed == extras - {"all", "demo", "dev", "docs", "ray"}


def test_the_lock_satisfies_what_the_project_asks_for() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)$", lock, re.M))
    pins = {canonicalize_name(name): version for name, version in pins.items()}
    asked = list(requirements("demo", "dev"))
    assert len(asked) > 50
    for requirement in asked:
        pin = pins.get(canonicalize_name(requirement.name))
        assert pin is not None, f"`make lock` has not seen {requirement.name}"
        assert requirement.specifier.contains(pin, prereleases=True), f"{requirement}: {pin}"


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


def run(site: Path, folder: Path, script: str, *arguments: str) -> str:
    """What a command of the wheel prints, run in `folder`."""
    done = subprocess.run(
        [sys.executable, str(site / "bin" / script), *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_it_installs_all_commands(site: Path) -> None:
    assert sorted(path.name for path in (site / "bin").iterdir()) == sorted(SCRIPTS)
    for name in ("train", "eval", "prepare", "inspect", "export", "report", "search"):
        assert f"cyclip-{name}" in SCRIPTS


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "arguments", "shown"),
    [
        ("cyclip-train", ["--cfg", "job"], "_target_: cyclip_pl.objectives.cyclip.CyCLIP"),
        ("cyclip-eval", ["--help"], "checkpoint: ???"),
        ("cyclip-prepare", ["--help"], "Make WebDataset shards"),
        ("cyclip-inspect", ["--help"], "Say what shards hold"),
        ("cyclip-inspect", ["--version"], cyclip_pl.__version__),
        ("cyclip-train", ["--version"], cyclip_pl.__version__),
        ("cyclip-report", ["--help"], "Compare"),
        ("cyclip-export", ["--help"], "cyclip-export checkpoint=runs/demo out=exported"),
        ("cyclip-search", ["--help"], "cyclip-search checkpoint=runs/demo shards="),
        ("cyclip-prepare", ["--version"], cyclip_pl.__version__),
    ],
)
def test_its_commands_work_in_an_empty_folder(
    site: Path, tmp_path: Path, script: str, arguments: list[str], shown: str
) -> None:
    assert shown in run(site, tmp_path, script, *arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_it_looks_at_shards_outside_the_checkout(site: Path, world: Path, tmp_path: Path) -> None:
    # A classification set, because captions would need a tokenizer: seconds.
    output = run(site, tmp_path, "cyclip-inspect", f"{world}/shapes/test", "--strict")
    assert re.search(r"samples +36\b", output)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_shell_completes_names_of_settings(site: Path, tmp_path: Path) -> None:
    """Hydra's script for bash, with the command on PATH as `pip install` puts it there."""
    line = "cyclip-train objective=cy"
    words = line.replace("=", " = ").split()
    script = f"""
eval "$(cyclip-train --shell-completion install=bash)"
COMP_LINE={line!r} COMP_POINT={len(line)} COMP_WORDS=({" ".join(words)}) COMP_CWORD=3
$(complete -p cyclip-train | grep -o "[a-z_]*hydra[a-z_]*") cyclip-train
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "cyclip-train"
    wrapped = f'#!/bin/sh\nexec {sys.executable} {site}/bin/cyclip-train "$@"\n'
    command.write_text(wrapped)
    command.chmod(0o755)
    done = subprocess.run(
        ["bash", "-c", script],
        env={
            **os.environ,
            "PYTHONPATH": str(site),
            "PATH": f"{command.parent}:{os.environ['PATH']}",
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    found = done.stdout.split()
    assert "objective=cyclip" in found, done.stderr
    assert all(word.startswith("objective=cy") for word in found)
