"""Tables of studies show the numbers of their results.csv."""

from __future__ import annotations

import csv
import runpy
import statistics
from pathlib import Path

STUDIES = Path(__file__).parents[2] / "experiments"


def test_the_table_of_the_objectives() -> None:
    collect = runpy.run_path(str(STUDIES / "objectives/collect.py"))
    with (STUDIES / "objectives/results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 45
    assert collect["table"](rows) in (STUDIES / "objectives/README.md").read_text()


def test_the_table_of_the_demo() -> None:
    with (STUDIES / "demo/results.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["dataset"] == "emoji_line"]
    values = [100 * float(row["acc1"]) for row in rows]
    shown = " | ".join(f"{value:.1f}" for value in (*values, statistics.mean(values)))
    assert f"| {shown} |" in (STUDIES / "demo/README.md").read_text()
