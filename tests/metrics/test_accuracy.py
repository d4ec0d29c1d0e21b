from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torchmetrics.functional.classification import multiclass_accuracy

from cyclip_pl.metrics.accuracy import (
    PerClassAccuracy,
    PredictionAccuracy,
    TopKAccuracy,
    rank_of_label,
)
from cyclip_pl.metrics.bootstrap import share_interval


def top_k(score_NK: Tensor, label_N: Tensor, ks: list[int], size: int = 100) -> dict[str, float]:
    accuracy = TopKAccuracy(score_NK.shape[1], ks, intervals=False)
    for rows in torch.arange(len(label_N)).split(size):
        accuracy.update(score_NK[rows], label_N[rows])
    return {name: value.item() for name, value in accuracy.compute().items()}


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
    label_N = torch.tensor([0, 0, 0])
    assert rank_of_label(score_NK, label_N).tolist() == [3, 3, 0]
    assert top_k(score_NK, label_N, [3])["acc3"] == pytest.approx(1 / 3)


def test_equals_torchmetrics_where_every_class_has_images() -> None:
    generator = torch.Generator().manual_seed(1)
    score_NK = torch.randn(400, 7, generator=generator)
    label_N = torch.cat([torch.arange(7), torch.randint(0, 7, (393,), generator=generator)])
    found = top_k(score_NK, label_N, [1, 3, 5])
    for k in (1, 3, 5):
        expected = multiclass_accuracy(score_NK, label_N, 7, average="micro", top_k=k)
        assert found[f"acc{k}"] == pytest.approx(expected.item(), abs=1e-7)
    expected = multiclass_accuracy(score_NK, label_N, 7, average="macro")
    assert found["mean_per_class_recall"] == pytest.approx(expected.item(), abs=1e-7)
    per_class = PerClassAccuracy(7)
    per_class.update(score_NK, label_N)
    expected = multiclass_accuracy(score_NK, label_N, 7, average="none")
    assert per_class.compute().tolist() == pytest.approx(expected.tolist(), abs=1e-7)


def test_a_class_without_images_does_not_count_in_the_mean_recall() -> None:
    # torchmetrics counts class 2, for which an image is mistaken, as 0: (0.5 + 1 + 0) / 3 = 0.5.
    score_NK = torch.tensor([[9.0, 0, 0, 0], [0, 0, 9.0, 0], [0, 9.0, 0, 0], [0, 9.0, 0, 0]])
    label_N = torch.tensor([0, 0, 1, 1])
    assert top_k(score_NK, label_N, [1])["mean_per_class_recall"] == (0.5 + 1) / 2
    per_class = PerClassAccuracy(4)
    per_class.update(score_NK, label_N)
    found = per_class.compute().tolist()
    assert found[:2] == [0.5, 1] and math.isnan(found[2]) and math.isnan(found[3])
    assert multiclass_accuracy(score_NK, label_N, 4, average="macro") == pytest.approx(0.5)


def test_the_mean_recall_needs_no_acc1_and_ks_above_the_classes_are_left_out() -> None:
    found = top_k(torch.tensor([[3.0, 2, 1], [3.0, 2, 1]]), torch.tensor([0, 1]), [2, 3, 4])
    assert found == {"acc2": 1, "acc3": 1, "mean_per_class_recall": 0.5}


def test_given_predictions_count_as_their_scores_do_and_none_is_a_miss() -> None:
    generator = torch.Generator().manual_seed(2)
    score_NK = torch.randn(90, 5, generator=generator)
    label_N = torch.randint(0, 5, (90,), generator=generator)
    score_NK[7] = torch.nan
    prediction = PredictionAccuracy(5)
    prediction.update(score_NK.argmax(1).where(score_NK.isfinite().all(1), -1), label_N)
    found = {name: value.item() for name, value in prediction.compute().items()}
    bounds = found.pop("acc1_low"), found.pop("acc1_high")
    assert found == top_k(score_NK, label_N, [1])
    assert bounds == share_interval(round(found["acc1"] * 90), 90)


def test_labels_of_no_class_are_refused() -> None:
    for label in (-1, 3):
        with pytest.raises(ValueError, match=r"^labels .*: must be from 0 to 2, the metric's"):
            PredictionAccuracy(3).update(torch.tensor([0, 1]), torch.tensor([0, label]))
