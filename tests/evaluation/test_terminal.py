from __future__ import annotations

import io

import pytest
from rich.console import Console

from cyclip_pl.evaluation.terminal import print_table, tables

FIGURES = {
    "emoji_unseen_names_classes/zero_shot/acc1": 0.12345,
    "emoji_unseen_names_classes/zero_shot/mean_per_class_recall": 1.0,
    "emoji_unseen_names_classes/zero_shot/samples": 1161.0,
    "emoji_unseen_names_classes/zero_shot/classes": 1166,
    "emoji_unseen_names_classes/zero_shot/skipped": 0,
    "b/zero_shot/acc5": float("nan"),
    "b/geometry/gap": -0.98765,
    "train/seconds": 150.0,
}


def _printed(figures: dict[str, float], width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    print_table(figures, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_percent_for_fractions_and_whole_numbers_for_counts() -> None:
    text = _printed(FIGURES)
    row = next(line for line in text.splitlines() if line.strip().startswith("emoji_"))
    assert row.split() == ["emoji_unseen_names_classes", "12.3", "100.0", "1,161", "1,166"]
    assert "top1" in text and "%" in text and "nan" in text and "-0.9877" in text
    assert "seconds" not in text


def test_a_table_for_each_evaluation_with_its_own_columns() -> None:
    zero_shot, geometry = tables(FIGURES)
    assert (zero_shot.title, geometry.title) == ("zero_shot", "geometry")
    headers = [str(column.header) for column in zero_shot.columns]
    assert headers == ["dataset", "top1 %", "macro\nrecall %", "samples", "classes", "top5 %"]
    assert zero_shot.row_count == 2


def test_bounds_are_half_a_width_behind_their_figure() -> None:
    figures = {
        "a/zero_shot/acc1": 0.5,
        "a/zero_shot/acc1_low": 0.45,
        "a/zero_shot/acc1_high": 0.574,
        "b/zero_shot/acc1": 0.25,
        "a/retrieval/image_to_text_r10": 0.125,
        "a/retrieval/image_to_text_median_rank": 12.5,
        "a/geometry/mind_the_low": 3,
    }
    zero_shot, retrieval, geometry = tables(figures)
    assert [str(column.header) for column in zero_shot.columns] == ["dataset", "top1 %"]
    assert list(zero_shot.columns[1].cells) == ["50.0 ±6.2", "25.0"]
    assert str(retrieval.columns[1].header) == "image\nto\ntext\nr10 %"
    assert [list(column.cells) for column in retrieval.columns[1:]] == [["12.5"], ["12.5"]]
    assert len(geometry.columns) == 2


FRACTIONS = (
    "top5 mean_per_class_recall text_to_image_r10 k30 fine_acc1 coarse_acc3 weighted_k200 majority_k10 "
    "weighted_k10_mean_per_class adamw_acc1 lbfgs_mean_per_class lbfgs_5_shot_accuracy "
    "lbfgs_20_shot_mean_per_class_std accuracy mean_accuracy drop mean_drop effective_robustness "
    "mean_effective_robustness"
)
OTHERS = (
    "samples train_samples classes lbfgs_l2 alignment uniformity modality_gap image_effective_rank "
    "in_modal_inconsistency text_to_image_median_rank"
)


@pytest.mark.parametrize("figure", FRACTIONS.split())
def test_every_fraction_is_in_percent(figure: str) -> None:
    (table,) = tables({f"a/e/{figure}": -0.25})
    assert list(table.columns[1].cells) == ["-25.0"]
    assert str(table.columns[1].header).endswith(" %")


@pytest.mark.parametrize("figure", OTHERS.split())
def test_what_is_no_fraction_is_not(figure: str) -> None:
    (table,) = tables({f"a/e/{figure}": 0.25})
    assert list(table.columns[1].cells) == ["0.25"]


def test_skipped_shows_where_something_was() -> None:
    assert "skipped" not in _printed(FIGURES)
    assert "skipped" in _printed({**FIGURES, "b/zero_shot/skipped": 2.0})


def test_a_narrow_terminal_cuts_no_name_and_no_figure() -> None:
    figures = {**FIGURES, **{f"emoji_unseen_names_classes/zero_shot/top{k}": 0.5 for k in (3, 5)}}
    text = _printed(figures)
    assert "…" not in text and max(map(len, text.splitlines())) <= 80
    row = "emoji_unseen_names_classes 12.3 100.0 1,161 1,166 50.0 50.0"
    assert row in [" ".join(line.split()) for line in _printed(figures, 20).splitlines()]
    assert _printed({}) == ""
