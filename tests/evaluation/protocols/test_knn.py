from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import normalize, one_hot

from cyclip_pl.evaluation.probes.linear_classifier import accuracy
from cyclip_pl.evaluation.protocols.knn import knn_predictions
from tests.helpers.loops import naive_majority, naive_nearest


def naive_weighted(cosines: list[float], labels: list[int], temperature: float) -> int:
    votes: dict[int, float] = {}
    for cosine, label in zip(cosines, labels, strict=True):
        votes[label] = votes.get(label, 0.0) + math.exp(cosine / temperature)
    return max(votes, key=lambda label: votes[label])  # of equal ones the first met


@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_equals_loops(temperature: float) -> None:
    generator = torch.Generator().manual_seed(0)
    test = torch.randn(300, 4, generator=generator)
    train = torch.randn(45, 4, generator=generator)
    labels = torch.randint(0, 5, (45,), generator=generator)
    ks = (1, 2, 7, 45)
    weighted, by_majority = knn_predictions(test, train, labels, ks, temperature)
    cosines, rows = naive_nearest(test, train, 45)
    for k in ks:
        near = [[labels[m].item() for m in row[:k]] for row in rows]
        assert by_majority[k].tolist() == [naive_majority(of_image) for of_image in near]
        assert weighted[k].tolist() == [
            naive_weighted(cosine[:k], of_image, temperature)
            for cosine, of_image in zip(cosines, near, strict=True)
        ]


def test_of_equal_votes_the_class_of_the_nearest_wins() -> None:
    train = torch.tensor([[1.0, 0], [1, 0], [1, 0], [1, 0]])
    for predictions in knn_predictions(train[:1], train, torch.tensor([3, 1, 1, 3]), (2, 4)):
        assert predictions[2].item() == 3
    assert knn_predictions(train[:1], train, torch.tensor([3, 1, 1, 3]), (4,))[0][4].item() == 3


def test_perfect_embeddings_score_one_and_random_ones_chance() -> None:
    labels = torch.arange(2000) % 10
    perfect = one_hot(labels, 10).float()
    generator = torch.Generator().manual_seed(1)
    test, train = (normalize(torch.randn(2000, 16, generator=generator), dim=1) for _ in range(2))
    for right in knn_predictions(perfect, perfect, labels, (1, 10, 20)):
        assert [accuracy(prediction, labels) for prediction in right.values()] == [1, 1, 1]
    for at_random in knn_predictions(test, train, labels, (1, 10, 20)):
        for prediction in at_random.values():
            assert accuracy(prediction, labels) == pytest.approx(0.1, abs=5 * (0.09 / 2000) ** 0.5)


def test_a_diverged_model_predicts_nothing() -> None:
    nan, labels = torch.full((3, 4), torch.nan), torch.tensor([0, 1, 1])
    for predictions in knn_predictions(nan, nan, labels, (2,)):
        assert predictions[2].tolist() == [-1, -1, -1]


def test_k_over_the_training_images_is_refused() -> None:
    with pytest.raises(ValueError, match="^cannot take the 4 nearest of 3 training rows$"):
        knn_predictions(torch.eye(3), torch.eye(3), torch.tensor([0, 1, 1]), (1, 4))
    assert knn_predictions(torch.eye(3), torch.eye(3), torch.tensor([0, 1, 1]), ()) == ({}, {})
