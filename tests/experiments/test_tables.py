"""Tables and verdicts from rows."""

from __future__ import annotations

import math
from typing import Any

import pytest
from studies import claims, intervals
from studies.report import placed
from studies.tables import VISIBLE, tables
from studies.values import values

ACC = "s/zero_shot/acc1"


def rows() -> list[dict[str, str]]:
    numbers = {"clip": (0.30, 0.32, 0.31), "cyclip": (0.33, 0.35, 0.345), "alone": (0.2,)}
    return [
        {"cell": cell, "seed": str(seed), "overrides": "", "seconds": "9", ACC: str(value)}
        for cell, of_seeds in numbers.items()
        for seed, value in enumerate(of_seeds)
    ]


def test_means_and_paired_differences() -> None:
    wanted = {"metrics": {"accuracy": ACC}, "baseline": "clip"}
    means, differences = tables(values(rows()), wanted)
    assert "| `clip` | 3 seeds | 31.0 ± 2.5 |" in means
    assert "| `alone` | 1 seed | 20.0 |" in means
    # 3.0, 3.0 and 3.5 points: mean 3.17, t(2) · s / √3 = 4.303 · 0.2887 / 1.732
    assert "| `cyclip` | minus `clip` | **+3.2 ± 0.7** |" in differences
    assert "| `alone` | minus `clip` | −10.0 |" in differences, "not bold: one pair has no interval"
    visible = 100 * intervals.visible([0.03, 0.03, 0.035])
    assert f"| {VISIBLE} |  | {visible:.1f} |" in differences


def test_differences_alone() -> None:
    wanted = {"metrics": {"accuracy": ACC}, "baseline": "clip"}
    both = tables(values(rows()), wanted)
    assert tables(values(rows()), {**wanted, "means": False}) == both[1:]


def test_rows_may_be_metrics() -> None:
    wanted = {"metrics": {"accuracy": ACC}, "baseline": {"cyclip": "clip"}, "rows": "metrics"}
    means, differences = tables(values(rows()), wanted)
    assert means.splitlines()[0] == "|  | `clip`, 3 seeds | `cyclip`, 3 seeds | `alone`, 1 seed |"
    assert differences.splitlines()[0] == f"|  | `cyclip`, minus `clip` | {VISIBLE} |"


def test_a_readme_keeps_what_is_outside_the_marks() -> None:
    text = "a\n<!-- table x -->\nold\n<!-- end -->\nb <!-- table y -->\n"
    assert placed(text, "x", "new") == text.replace("old", "\nnew\n")
    with pytest.raises(ValueError, match="no <!-- table z -->"):
        placed(text, "z", "")


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ([(1, 0.5), (2, 1)], "**holds**"),
        ([(1, 0.5), (2, 3)], "holds in 1 of 2"),
        ([(1, 2), (-1, 2)], "not shown: the intervals include 0"),
        ([(-1, 0.5), (2, 3)], "**does not hold**: lower"),
        ([(-1, 0.5), (2, 1)], "**does not hold**: lower in 1 of 2"),
        ([(1, math.nan)], "not shown: the intervals include 0"),
        ([], "not yet run"),
    ],
)
def test_verdicts(differences: list[tuple[float, float]], verdict: str) -> None:
    assert claims.decided([intervals.Mean(v, half, 3) for v, half in differences]) == verdict


def test_a_claim_has_its_cells_and_may_be_untested() -> None:
    listed: list[dict[str, Any]] = [
        {"claim": "It rises", "paper": "1 → 2", "metrics": {"here": ACC}},
        {"claim": "That too", "paper": "–", "untested": "no data"},
    ]
    other = values([{**row, ACC: str(2 * float(row[ACC]))} for row in rows()])
    named = {"study": "other", "metrics": {"there": ["alone", "cyclip", ACC]}}
    listed.append({"claim": "Elsewhere", "paper": "3", **named})
    named = {"study": "other", "metrics": {"there": ["cyclip", "clip", ACC]}}
    listed.append({"claim": "It doubles", "paper": "3", **named})
    both = {**named["metrics"], "later": ["cyclip", "nobody", ACC]}
    listed.append({"claim": "Half", "paper": "3", "study": "other", "metrics": both})
    table = claims.table({None: values(rows()), "other": other}.__getitem__, listed)
    assert "| Elsewhere | 3 | – | not yet run |" in table, "one pair has no interval"
    assert "| It doubles | 3 | there: +6.3 ± 1.4 | **holds** |" in table
    assert "| Half | 3 | there: +6.3 ± 1.4 | not yet run |" in table
    assert "| It rises | 1 → 2 | here: +3.2 ± 0.7 | **holds** |" in table
    assert "| That too | – | – | cannot be tested: no data |" in table
