from __future__ import annotations

import io

from rich.console import Console

from cyclip_pl.evaluation.terminal import print_table, tables

METRICS = {
    "emoji_unseen_names_classes/zero_shot/acc1": 0.12345,
    "emoji_unseen_names_classes/zero_shot/mean_per_class_recall": 1.0,
    "emoji_unseen_names_classes/zero_shot/samples": 1161.0,
    "emoji_unseen_names_classes/zero_shot/classes": 1166,
    "emoji_unseen_names_classes/zero_shot/skipped": 0,
    "b/zero_shot/acc5": float("nan"),
    "b/geometry/gap": -0.98765,
    "train/seconds": 150.0,
}


def _printed(metrics: dict[str, float], width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    print_table(metrics, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_percent_for_fractions_and_whole_numbers_for_counts() -> None:
    text = _printed(METRICS)
    row = next(line for line in text.splitlines() if line.strip().startswith("emoji_"))
    assert row.split() == ["emoji_unseen_names_classes", "12.3", "100.0", "1,161", "1,166"]
    assert "acc1" in text and "%" in text and "nan" in text and "−0.9877" in text
    assert "seconds" not in text


def test_a_table_for_each_evaluation_with_its_own_columns() -> None:
    zero_shot, geometry = tables(METRICS)
    assert (zero_shot.title, geometry.title) == ("zero_shot", "geometry")
    headers = [str(column.header) for column in zero_shot.columns]
    assert headers == [
        "dataset",
        "acc1 %",
        "mean\nper\nclass\nrecall %",
        "samples",
        "classes",
        "acc5 %",
    ]
    assert zero_shot.row_count == 2


def test_half_the_width_of_an_interval_follows_its_metric() -> None:
    metrics = {
        "a/zero_shot/acc1": 0.5,
        "a/zero_shot/acc1_low": 0.45,
        "a/zero_shot/acc1_high": 0.574,
        "b/zero_shot/acc1": 0.25,
        "a/retrieval/image_to_text_r10": 0.125,
        "a/retrieval/image_to_text_median_rank": 12.5,
        "a/geometry/mind_the_low": 3,
    }
    zero_shot, retrieval, geometry = tables(metrics)
    assert [str(column.header) for column in zero_shot.columns] == ["dataset", "acc1 %"]
    assert list(zero_shot.columns[1].cells) == ["50.0 ±6.2", "25.0"]
    assert str(retrieval.columns[1].header) == "image\nto\ntext\nr10 %"
    assert [list(column.cells) for column in retrieval.columns[1:]] == [["12.5"], ["12.5"]]
    assert len(geometry.columns) == 2


def test_names_are_text_and_not_markup() -> None:
    text = _printed({"[red]a/[bold]b/acc1": 0.5})
    assert "[red]a" in text and "[bold]b" in text


def test_skipped_shows_where_something_was() -> None:
    assert "skipped" not in _printed(METRICS)
    assert "skipped" in _printed({**METRICS, "b/zero_shot/skipped": 2.0})


def test_a_narrow_terminal_cuts_no_name_and_no_metric() -> None:
    metrics = {**METRICS, **{f"emoji_unseen_names_classes/zero_shot/acc{k}": 0.5 for k in (3, 5)}}
    text = _printed(metrics)
    assert "…" not in text and max(map(len, text.splitlines())) <= 80
    # As many columns as fit, then a table with the next ones.
    lines = [line.split() for line in _printed(metrics, 48).splitlines()]
    assert [row[1:] for row in lines if row[:1] == ["emoji_unseen_names_classes"]] == [
        ["12.3", "100.0"],
        ["1,161", "1,166"],
        ["50.0", "50.0"],
    ]
    alone = [line.split() for line in _printed(metrics, 20).splitlines()]
    assert [row[1] for row in alone if row[:1] == ["emoji_unseen_names_classes"]] == [
        *("12.3", "100.0", "1,161", "1,166", "50.0", "50.0")
    ]
    assert _printed({}) == ""
