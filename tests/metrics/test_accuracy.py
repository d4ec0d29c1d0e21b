from __future__ import annotations

import pytest
import torch
from torchmetrics.functional.classification import multiclass_accuracy

from cyclip_pl.metrics.accuracy import accuracy_figures, chunks, per_class, rank_of_label


def test_ranks_are_those_of_a_stable_sort_ties_included() -> None:
    generator = torch.Generator().manual_seed(0)
    score_NK = torch.randint(0, 4, (300, 9), generator=generator).float()
    label_N = torch.randint(0, 9, (300,), generator=generator)
    expected = []
    for row, label in zip(score_NK.tolist(), label_N.tolist(), strict=True):
        order = sorted(range(9), key=lambda k: (-row[k], k))
        expected.append(order.index(label))
    assert rank_of_label(score_NK, label_N).tolist() == expected


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_scores_that_are_not_finite_are_misses(bad: float) -> None:
    score_NK = torch.tensor([[bad, bad, bad], [3.0, bad, 1.0], [3.0, 2.0, 1.0]])
    assert rank_of_label(score_NK, torch.tensor([0, 0, 0])).tolist() == [3, 3, 0]
    rank_N, label_N = torch.tensor([3, 3, 0]), torch.tensor([0, 0, 0])
    assert accuracy_figures(rank_N, label_N, 3, [3])["top3"] == pytest.approx(1 / 3)


def test_equals_torchmetrics_where_every_class_has_images() -> None:
    generator = torch.Generator().manual_seed(1)
    score_NK = torch.randn(400, 7, generator=generator)
    label_N = torch.cat([torch.arange(7), torch.randint(0, 7, (393,), generator=generator)])
    figures = accuracy_figures(rank_of_label(score_NK, label_N), label_N, 7, [1, 3, 5])
    for k in (1, 3, 5):
        expected = multiclass_accuracy(score_NK, label_N, 7, average="micro", top_k=k)
        assert figures[f"top{k}"] == pytest.approx(expected.item(), abs=1e-7)
    expected = multiclass_accuracy(score_NK, label_N, 7, average="macro")
    assert figures["macro_recall"] == pytest.approx(expected.item(), abs=1e-7)


def test_a_class_without_images_does_not_count_in_the_macro_recall() -> None:
    # torchmetrics counts class 2, for which an image is mistaken, as a recall of 0: 1/3.
    score_NK = torch.tensor([[9.0, 0, 0, 0], [0, 0, 9.0, 0], [0, 9.0, 0, 0], [0, 9.0, 0, 0]])
    label_N = torch.tensor([0, 0, 1, 1])
    rank_N = rank_of_label(score_NK, label_N)
    assert accuracy_figures(rank_N, label_N, 4, [1])["macro_recall"] == (0.5 + 1) / 2
    image_K, hit_K = per_class(rank_N, label_N, 4)
    assert (image_K.tolist(), hit_K.tolist()) == ([2, 2, 0, 0], [1, 2, 0, 0])
    assert multiclass_accuracy(score_NK, label_N, 4, average="macro") == pytest.approx(0.5)


def test_macro_recall_needs_no_top_1_among_the_figures() -> None:
    label_N = torch.tensor([0, 1])
    rank_N = rank_of_label(torch.tensor([[3.0, 2, 1], [3.0, 2, 1]]), label_N)
    assert accuracy_figures(rank_N, label_N, 3, [2]) == {"top2": 1, "macro_recall": 0.5}


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (5, 1 << 23), (7, 1 << 30)])
def test_chunks_are_all_rows_in_order(rows: int, columns: int) -> None:
    whole = list(range(rows))
    assert [row for part in chunks(rows, columns) for row in whole[part]] == whole
    assert all(
        len(whole[part]) * columns <= max(columns, 1 << 24) for part in chunks(rows, columns)
    )
