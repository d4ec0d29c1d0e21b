from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from cyclip_pl.evaluation.protocols.consistency import agree, majority_labels
from tests.helpers.loops import naive_majority, naive_nearest


def consistency_scores(
    test: Tensor,
    prediction: Tensor,
    train: Tensor,
    label: Tensor,
    ks: Sequence[int] = (1, 3, 5, 10, 30),
) -> dict[int, float]:
    majorities = majority_labels(test, train, label, ks)
    return {k: agree(prediction, m).double().mean().item() for k, m in majorities.items()}


def test_equals_loops_ties_included() -> None:
    # Rounded rows: many equal cosines, and votes that tie.
    generator = torch.Generator().manual_seed(0)
    test = torch.randn(60, 3, generator=generator).round()
    train = torch.randn(50, 3, generator=generator).round()
    labels = torch.randint(0, 4, (50,), generator=generator)
    prediction = torch.randint(0, 4, (60,), generator=generator)
    ks = (1, 2, 3, 4, 10, 50)
    scores = consistency_scores(test, prediction, train, labels, ks)
    _, rows = naive_nearest(test, train, 50)
    for k in ks:
        agree = [
            naive_majority([labels[m].item() for m in row[:k]]) == prediction[n].item()
            for n, row in enumerate(rows)
        ]
        assert scores[k] == sum(agree) / 60
    assert list(scores) == list(ks)


def test_perfect_embeddings_score_one_and_random_ones_chance() -> None:
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(400) % 10
    perfect = one_hot(labels, 10).float()
    assert set(consistency_scores(perfect, labels, perfect, labels).values()) == {1.0}
    test, train = (normalize(torch.randn(4000, 16, generator=generator), dim=1) for _ in range(2))
    prediction = torch.randint(0, 10, (4000,), generator=generator)
    for share in consistency_scores(test, prediction, train, torch.arange(4000) % 10).values():
        assert share == pytest.approx(0.1, abs=5 * (0.09 / 4000) ** 0.5)


def test_one_class() -> None:
    zeros = torch.zeros(7, dtype=torch.int64)
    scores = consistency_scores(torch.randn(7, 4), zeros, torch.randn(7, 4), zeros, (1, 7))
    assert scores == {1: 1.0, 7: 1.0}


def test_a_diverged_model_agrees_with_nothing() -> None:
    nan, prediction = torch.full((3, 4), torch.nan), torch.tensor([0, 1, -1])
    labels = torch.tensor([0, 1, 1])
    assert consistency_scores(nan, prediction, nan, labels, (1, 3)) == {1: 0.0, 3: 0.0}


def test_k_over_the_training_images_is_refused() -> None:
    with pytest.raises(ValueError, match="^cannot take the 4 nearest of 3 training rows$"):
        majority_labels(torch.eye(3), torch.eye(3), torch.tensor([0, 1, 1]), (1, 4))
    assert majority_labels(torch.eye(3), torch.eye(3), torch.tensor([0, 1, 1]), ()) == {}
