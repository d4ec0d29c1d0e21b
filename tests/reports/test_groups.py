from __future__ import annotations

import csv
import io
import math
import random
from pathlib import Path

from rich.console import Console

from cyclip_pl.reports.exports import print_table, to_csv, to_markdown
from cyclip_pl.reports.groups import Cell, Group, groups
from cyclip_pl.reports.runs import Run


def runs_of(*metrics: dict[str, dict[str, float | None]]) -> list[Run]:
    return [Run(f"run{n}", Path("."), of_run, {}) for n, of_run in enumerate(metrics)]


def cells(found: list[Group], metric: str) -> list[Cell]:
    return next(list(row.cells) for group in found for row in group.rows if row.metric == metric)


def test_the_union_of_the_metrics_with_gaps() -> None:
    found = groups(
        runs_of(
            {"b/knn": {"weighted_k5": 0.5}, "train": {"seconds": 3.25}},
            {"a/zero_shot": {"samples": 10.0, "acc10": None, "acc5": 0.5, "acc1": 0.25}},
        )
    )
    assert [(g.dataset, g.evaluation) for g in found] == [
        ("a", "zero_shot"),
        ("b", "knn"),
        ("", "train"),
    ]
    assert [row.label for row in found[0].rows] == ["acc1 (%)", "acc5 (%)", "acc10 (%)", "samples"]
    texts = [[cell.text for cell in row.cells] for group in found for row in group.rows]
    assert texts == [
        ["–", "25.0"],
        ["–", "50.0"],
        ["–", "–"],
        ["–", "10"],
        ["50.0", "–"],
        ["3.25", "–"],
    ]
    assert not any(cell.best for group in found for row in group.rows for cell in row.cells)


def test_intervals_are_in_the_cells() -> None:
    of_run = {"acc1": 0.25, "acc1_low": 0.2, "acc1_high": 0.31, "acc3": 0.5, "only_low": 0.1}
    found = groups(runs_of({"a/zero_shot": of_run}, {"a/zero_shot": {"acc1": 0.3}}))
    assert cells(found, "acc1") == [Cell("25.0", "[20.0, 31.0]"), Cell("30.0")]
    assert [row.metric for row in found[0].rows] == ["acc1", "acc3", "only_low"]


def test_the_best_lies_apart_from_every_other_run() -> None:
    generator = random.Random(0)
    marked = 0
    for _ in range(300):
        ends = [
            sorted(generator.random() for _ in range(3)) for _ in range(generator.randint(1, 4))
        ]
        for metric, sign in (("acc1", 1), ("drop", -1), ("alignment", 0)):
            found = groups(
                runs_of(
                    *(
                        {"a/b": {metric: mid, f"{metric}_low": low, f"{metric}_high": high}}
                        for low, mid, high in ends
                    )
                )
            )
            wanted = []
            for n, (low, _, high) in enumerate(ends):
                others = [one for m, one in enumerate(ends) if m != n]
                above = all(low > other[2] for other in others)
                below = all(high < other[0] for other in others)
                wanted.append(bool(others) and (above if sign > 0 else below) and sign != 0)
            assert [cell.best for cell in cells(found, metric)] == wanted, ends
            marked += any(wanted)
    assert marked >= 20


def test_without_intervals_nothing_is_the_best() -> None:
    found = groups(runs_of({"a/b": {"acc1": 0.9}}, {"a/b": {"acc1": 0.1}}))
    assert not any(cell.best for cell in cells(found, "acc1"))
    bounded = {"acc1": 0.9, "acc1_low": 0.8, "acc1_high": 0.95}
    found = groups(runs_of({"a/b": bounded}, {"a/b": {"acc1": 0.1}}))
    assert not any(cell.best for cell in cells(found, "acc1"))
    found = groups(runs_of({"a/b": bounded}, {"a/b": {"acc1": None}}, {"a/b": {"acc1": math.nan}}))
    assert not any(cell.best for cell in cells(found, "acc1"))


def test_skipped_shows_only_where_something_was() -> None:
    def metrics(*skipped: float) -> list[str]:
        found = groups(runs_of(*({"a/b": {"skipped": s, "acc1": 0.5}} for s in skipped)))
        return [row.metric for row in found[0].rows]

    assert metrics(0.0, 0.0) == ["acc1"]
    assert metrics(0.0, 2.0) == ["acc1", "skipped"]


def test_csv_has_the_numbers_themselves() -> None:
    third = {"acc1": 1 / 3, "acc1_low": 0.1, "skipped": 0.0, "drop": math.nan, "acc3": None}
    runs = runs_of({"a, b/zero_shot": third}, {"train": {"seconds": 0.5}})
    rows = list(csv.reader(io.StringIO(to_csv(runs))))
    assert rows[0] == ["dataset", "evaluation", "metric", "run0", "run1"]
    assert {tuple(row[:3]): row[3:] for row in rows[1:]} == {
        ("a, b", "zero_shot", "acc1"): ["0.3333333333333333", ""],
        ("a, b", "zero_shot", "acc1_low"): ["0.1", ""],
        ("a, b", "zero_shot", "acc3"): ["", ""],
        ("a, b", "zero_shot", "drop"): ["nan", ""],
        ("a, b", "zero_shot", "skipped"): ["0.0", ""],
        ("", "train", "seconds"): ["", "0.5"],
    }


def test_no_name_is_a_spreadsheets_formula() -> None:
    runs = [Run("=1+1", Path("."), {"@sum(a)/-x": {"+y": -1.0}}, {})]
    rows = list(csv.reader(io.StringIO(to_csv(runs))))
    assert rows == [
        ["dataset", "evaluation", "metric", "'=1+1"],
        ["'@sum(a)", "'-x", "'+y", "-1.0"],
    ]


def test_markdown_says_a_groups_name_once_and_the_best_in_bold() -> None:
    runs = runs_of(
        {"a_b/zero_shot": {"acc1": 0.25, "acc1_low": 0.2, "acc1_high": 0.3, "samples": 9.0}},
        {"a_b/zero_shot": {"acc1": 0.5, "acc1_low": 0.4, "acc1_high": 0.6}},
    )
    assert to_markdown(runs, groups(runs)) == (
        "| data set | evaluation | metric | run0 | run1 |\n"
        "| --- | --- | --- | ---: | ---: |\n"
        "| a_b | zero_shot | acc1 (%) | 25.0 \\[20.0, 30.0\\] | **50.0** \\[40.0, 60.0\\] |\n"
        "|  |  | samples | 9 | – |\n"
    )


def test_markdown_escapes_names() -> None:
    runs = [Run("a|b`<script>*[x](y)\\", Path("."), {"<b>&|/e": {"acc1": 0.5}}, {})]
    head, _, line = to_markdown(runs, groups(runs)).splitlines()
    assert head.endswith("| a\\|b\\`&lt;script&gt;\\*\\[x\\](y)\\\\ |")
    assert line == "| &lt;b&gt;&amp;\\| | e | acc1 (%) | 50.0 |"


def test_the_terminal_shows_every_run_within_its_width() -> None:
    names = [f"run {n} [bold] of a sweep with long names" for n in range(9)]
    name = "cross_modal_inconsistency_of_a_long_name"
    runs = [Run(run, Path("."), {f"{name}/e": {name: 0.123}}, {}) for run in names]
    out = io.StringIO()
    print_table(runs, groups(runs), Console(file=out, width=80))
    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("0.123") == 9
    assert all(text.count(f"run {n} [bold]") == 1 for n in range(9))
    # Two runs at a time, each with its metrics' names.
    assert text.count("metric ") == 5
