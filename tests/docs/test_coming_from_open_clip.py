"""The page names every flag of open_clip's training once, and what it names here exists."""

from __future__ import annotations

import argparse
import re
from collections import Counter
from typing import Any

import pytest
from open_clip_train import params

from tests.docs.pages import DOCS, names
from tests.helpers.composed import CONF, choices

(PAGE,) = (page for page in DOCS if page.name == "coming-from-open_clip.md")
ROWS = [
    [cell.strip() for cell in line.split("|")[1:-1]]
    for line in PAGE.read_text("utf-8").splitlines()
    if line.startswith("| `--")
]


@pytest.fixture
def theirs(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The flags of the installed open_clip."""
    flags: set[str] = set()

    add = argparse.ArgumentParser.add_argument

    def listed(self: argparse.ArgumentParser, *names: str, **settings: Any) -> argparse.Action:
        flags.update(names)
        return add(self, *names, **settings)

    monkeypatch.setattr(argparse.ArgumentParser, "add_argument", listed)
    params.parse_args([])
    return flags - {"-h", "--help"}


def test_every_flag_has_one_row(theirs: set[str]) -> None:
    listed = Counter(flag for flags, _ in ROWS for flag in names(flags))
    assert len(theirs) > 80
    assert theirs <= listed.keys()
    assert all(flag.startswith("--") for flag in listed)
    assert set(listed.values()) == {1}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: names(row[0])[0])
def test_a_row_names_a_setting_or_a_reason(row: list[str]) -> None:
    _, said = row
    if said.startswith("not here"):
        assert said.startswith("not here: ")
    else:
        assert names(said), "neither a setting nor a reason"


def test_a_choice_that_is_named_exists() -> None:
    groups = {path.name for path in CONF.iterdir() if path.is_dir()}
    found = set()
    for code in names(PAGE.read_text("utf-8").partition("## Flags")[2]):
        for word in code.strip('"').split():
            chosen = re.fullmatch(r"(\w+)=\[?([\w,]+)\]?", word)
            if chosen and chosen[1] in groups:
                for choice in chosen[2].split(","):
                    found.add(chosen[1])
                    assert choice in choices(chosen[1]), word
    assert found >= {"data", "encoder", "objective", "optimizer", "scheduler", "trainer", "logger"}
