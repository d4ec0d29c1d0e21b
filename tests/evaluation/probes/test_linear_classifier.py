from __future__ import annotations

import pytest
import torch

from cyclip_pl.evaluation.probes import linear_classifier
from cyclip_pl.evaluation.probes.linear_classifier import (
    LinearClassifier,
    accuracy,
    mean_per_class_recall,
)


@pytest.mark.parametrize("rows", [1, 3, 16384])
def test_predictions_equal_loops(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_classifier, "_ROWS", rows)
    generator = torch.Generator().manual_seed(0)
    weight = torch.randint(-2, 3, (6, 3), generator=generator).double()  # rounded: scores tie
    bias = torch.tensor([0.0, 1, 0, 0, -torch.inf, 0], dtype=torch.float64)
    feature = torch.randint(-2, 3, (40, 3), generator=generator).float()
    expected = []
    for x in feature.tolist():
        scores = [
            sum(a * b for a, b in zip(w, x, strict=True)) + b0
            for w, b0 in zip(weight.tolist(), bias.tolist(), strict=True)
        ]
        expected.append(scores.index(max(scores)))
    assert LinearClassifier(weight, bias).predict(feature).tolist() == expected
    assert 4 not in expected


def test_rows_that_are_not_finite_have_no_class() -> None:
    classifier = LinearClassifier(torch.eye(2), torch.zeros(2))
    assert classifier.predict(torch.tensor([[torch.nan, 0], [0, 1]])).tolist() == [-1, 1]
    assert classifier.predict(torch.empty(0, 2)).tolist() == []


def test_metrics_equal_loops_with_empty_classes() -> None:
    generator = torch.Generator().manual_seed(1)
    label = torch.randint(0, 9, (60,), generator=generator)
    label[label == 4] = 5
    prediction = torch.where(torch.rand(60, generator=generator) < 0.5, label, label - 1)
    recalls: dict[int, list[bool]] = {}
    for p, y in zip(prediction.tolist(), label.tolist(), strict=True):
        recalls.setdefault(y, []).append(p == y)
    hits = [hit for of_class in recalls.values() for hit in of_class]
    assert accuracy(prediction, label) == pytest.approx(sum(hits) / 60)
    expected = sum(sum(r) / len(r) for r in recalls.values()) / len(recalls)
    assert mean_per_class_recall(prediction, label) == pytest.approx(expected)
    assert accuracy(label, label) == mean_per_class_recall(label, label) == 1
