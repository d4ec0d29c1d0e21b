"""The Dockerfile, as far as it can be checked where Docker is not."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.M)
LINES = re.sub(r" *\\\n *", " ", TEXT).splitlines()


def arguments(instruction: str) -> list[str]:
    return [line.split(" ", 1)[1] for line in LINES if line.startswith(f"{instruction} ")]


STAGES = {words.split(" AS ")[1]: words.split(" AS ")[0] for words in arguments("FROM")}


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_the_targets_stand_on_stages_that_come_before(target: str) -> None:
    assert list(STAGES)[-1] == "cuda", "the default"
    stage = target
    while stage in STAGES:
        above = STAGES[stage]
        assert above not in STAGES or list(STAGES).index(above) < list(STAGES).index(stage)
        stage = above
    assert stage.startswith("python:3.11"), "the lock is for Python 3.11"


def test_what_it_copies_is_there_and_not_ignored() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    for words in map(shlex.split, arguments("COPY")):
        if words[0].startswith("--from="):
            assert words[0].removeprefix("--from=") in STAGES
            continue
        for source in words[:-1]:
            assert (ROOT / source).exists(), source
            assert f"!{source}" in ignored, source


def test_the_build_has_what_the_wheel_is_made_of() -> None:
    copied = {source for words in arguments("COPY") for source in words.split()[:-1]}
    project = (ROOT / "pyproject.toml").read_text()
    for key in ("readme", "license-files"):
        value = re.search(rf"^{key} = (.*)$", project, re.M)
        assert value and set(re.findall(r'"(.*?)"', value[1])) <= copied
    assert {"cyclip_pl", "conf", "pyproject.toml"} <= copied


def test_every_step_is_a_shell_command() -> None:
    for command in arguments("RUN"):
        command = re.sub(r"^(--mount=\S+ )+", "", command)
        done = subprocess.run(["sh", "-n"], input=command, text=True, capture_output=True)
        assert done.returncode == 0, f"{command}: {done.stderr}"


def test_every_installation_follows_the_lock() -> None:
    installs = re.findall(r"pip install [^&]*", "\n".join(arguments("RUN")))
    assert len(installs) >= 5
    assert all(re.search(r" -c \S*requirements\.lock ", install) for install in installs)


def test_its_extras_and_its_command_exist() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    extras = {words.partition("=")[2] for words in arguments("ARG") if words.startswith("EXTRAS")}
    for extra in ",".join(extras).split(","):
        assert f"\n{extra} = [" in project, extra
    (command,) = arguments("CMD")
    script = json.loads(command)[0]
    assert f"\n{script} = " in project


def test_it_does_not_run_as_root_and_names_no_server() -> None:
    assert arguments("USER") == ["1000"]
    assert "://" not in TEXT
