"""What a README says about the runs that there are."""

from __future__ import annotations

from pathlib import Path

from studies.plan import Study
from studies.rows import Row
from studies.status import mixed, status

SETTINGS = {
    "seeds": [0, 1],
    "cells": {"clip": ["objective=clip"], "cyclip": ["objective=cyclip"]},
    "tables": {"accuracy": {"metrics": {}, "baseline": {"cyclip": "clip"}}},
}


def row(cell: str, seed: int, device: str) -> Row:
    return {"cell": cell, "seed": str(seed), "device": device, "seconds": "1800"}


def written(folder: Path, found: list[Row]) -> Study:
    lines = ["cell,seed,device,seconds", *(",".join(one.values()) for one in found)]
    (folder / "results.csv").write_text("\n".join(lines), "utf-8")
    return Study(str(folder), SETTINGS)


def test_one_device(tmp_path: Path) -> None:
    found = [row(cell, seed, "A") for cell in ("clip", "cyclip") for seed in (0, 1)]
    assert status(written(tmp_path, found)) == "All 4 runs: 2.0 hours of training on A."


def test_a_difference_between_unequal_devices_is_named(tmp_path: Path) -> None:
    found = [row("clip", 0, "A"), row("clip", 1, "A"), row("cyclip", 0, "A"), row("cyclip", 1, "B")]
    study = written(tmp_path, found)
    assert mixed(study, found) == [("cyclip", "clip")]
    assert status(study).splitlines() == [
        "All 4 runs: 2.0 hours of training on A (× 3) and B (× 1).",
        "Differences between runs of unequal devices: `cyclip` minus `clip`.",
    ]


def test_unequal_devices_of_different_seeds_are_not_a_difference(tmp_path: Path) -> None:
    found = [row(cell, seed, "AB"[seed]) for cell in ("clip", "cyclip") for seed in (0, 1)]
    assert mixed(written(tmp_path, found), found) == []


def test_nothing_yet(tmp_path: Path) -> None:
    assert status(Study(str(tmp_path), SETTINGS)) == "None of the 4 runs has ended."
