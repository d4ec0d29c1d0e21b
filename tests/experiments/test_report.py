"""The tables of every study are those of its results.csv."""

from __future__ import annotations

import pytest
from studies import plan, report


@pytest.mark.parametrize("name", plan.names())
def test_the_readmes_show_the_rows(name: str) -> None:
    for path, text in report.texts(plan.read(name)).items():
        assert path.read_text("utf-8") == text, f"python experiments/study.py {name} --report"
