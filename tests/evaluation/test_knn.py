from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import normalize, one_hot

from cyclip_pl.evaluation.knn import knn_predictions
from cyclip_pl.evaluation.linear_classifier import accuracy
from tests.evaluation.test_neighbours import naive_majority, naive_nearest


def naive_weighted(cosines: list[float], labels: list[int], temperature: float) -> int:
    votes: dict[int, float] = {}
    for cosine, label in zip(cosines, labels, strict=True):
        votes[label] = votes.get(label, 0.0) + math.exp(cosine / temperature)
    return max(votes, key=lambda label: votes[label])  # of equal ones the first met


@pytest.mark.parametrize("temperature", [0.07, 1.0, None])
def test_equals_loops(temperature: float | None) -> None:
    generator = torch.Generator().manual_seed(0)
    test = torch.randn(300, 4, generator=generator)
    train = torch.randn(45, 4, generator=generator)
    labels = torch.randint(0, 5, (45,), generator=generator)
    ks = (1, 2, 7, 45)
    predictions = knn_predictions(test, train, labels, ks, temperature)
    cosines, rows = naive_nearest(test, train, 45)
    for k in ks:
        expected = []
        for cosine, row in zip(cosines, rows, strict=True):
            near = [labels[m].item() for m in row[:k]]
            expected.append(
                naive_majority(near)
                if temperature is None
                else naive_weighted(cosine[:k], near, temperature)
            )
        assert predictions[k].tolist() == expected


def test_of_equal_votes_the_class_of_the_nearest_wins() -> None:
    train = torch.tensor([[1.0, 0], [1, 0], [1, 0], [1, 0]])
    predictions = knn_predictions(train[:1], train, torch.tensor([3, 1, 1, 3]), (2, 4))
    assert {k: p.item() for k, p in predictions.items()} == {2: 3, 4: 3}


@pytest.mark.parametrize("temperature", [0.07, None])
def test_perfect_embeddings_score_one_and_random_ones_chance(temperature: float | None) -> None:
    labels = torch.arange(2000) % 10
    perfect = one_hot(labels, 10).float()
    generator = torch.Generator().manual_seed(1)
    test, train = (normalize(torch.randn(2000, 16, generator=generator), dim=1) for _ in range(2))
    for k in (1, 10, 20):
        right = knn_predictions(perfect, perfect, labels, (k,), temperature)[k]
        assert accuracy(right, labels) == 1
        at_random = knn_predictions(test, train, labels, (k,), temperature)[k]
        assert accuracy(at_random, labels) == pytest.approx(0.1, abs=5 * (0.09 / 2000) ** 0.5)


@pytest.mark.parametrize("temperature", [0.07, None])
def test_a_diverged_model_predicts_nothing(temperature: float | None) -> None:
    nan, labels = torch.full((3, 4), torch.nan), torch.tensor([0, 1, 1])
    assert knn_predictions(nan, nan, labels, (2,), temperature)[2].tolist() == [-1, -1, -1]


def test_k_over_the_training_images_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^knn needs 1 <= k <= 3 training images: \(1, 4\)$"):
        knn_predictions(torch.eye(3), torch.eye(3), torch.tensor([0, 1, 1]), (1, 4))
