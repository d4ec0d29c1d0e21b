"""The tables of every study are those of its results.csv."""

from __future__ import annotations

from pathlib import Path

import pytest
from studies import intervals, plan, plots, report
from studies.values import paired


@pytest.mark.parametrize("name", plan.names())
def test_the_readmes_show_the_rows(name: str) -> None:
    for path, text in report.texts(plan.read(name)).items():
        assert path.read_text("utf-8") == text, f"python experiments/study.py {name} --report"


@pytest.mark.parametrize("name", plan.names())
@pytest.mark.filterwarnings("error")
def test_plots_are_drawn_of_a_part_of_the_runs(name: str, tmp_path: Path) -> None:
    study = plan.read(name)
    tables = study.settings["tables"].values()
    metrics = [metric for one in tables for metric in one["metrics"].values()]
    found = {run.cell: {metric: {0: 0.5} for metric in metrics} for run in study.runs()[::2]}
    for file, wanted in study.settings["plots"].items():
        plots.draw(found, study, wanted, tmp_path / file)
        assert (tmp_path / file).stat().st_size > 1000


def test_the_headline_comes_again_with_other_seeds() -> None:
    first, again = (report.numbers(plan.read(name)) for name in ("claims", "claims_rerun"))
    metrics = plan.read("claims_rerun").settings["tables"]["accuracy"]["metrics"].values()
    for metric in metrics:
        one, other = (
            intervals.of_pairs(*zip(*paired(found, "cyclip", "clip", metric), strict=True))
            for found in (first, again)
        )
        assert (one.n, other.n) == (8, 5)
        assert abs(one.value - other.value) < one.half + other.half, metric
