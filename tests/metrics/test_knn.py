from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from cyclip_pl.metrics.knn import KNNAccuracy, knn_predictions
from cyclip_pl.metrics.neighbours import labels_of_nearest
from tests.helpers.loops import naive_majority, naive_nearest, naive_weighted


def predictions(
    test: Tensor, train: Tensor, label: Tensor, ks: tuple[int, ...], temperature: float = 0.07
) -> dict[str, Tensor]:
    return knn_predictions(*labels_of_nearest(test, train, label, max(ks)), ks, temperature)


@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_equals_loops(temperature: float) -> None:
    generator = torch.Generator().manual_seed(0)
    test = torch.randn(300, 4, generator=generator)
    train = torch.randn(45, 4, generator=generator)
    labels = torch.randint(0, 5, (45,), generator=generator)
    ks = (1, 2, 7, 45)
    found = predictions(test, train, labels, ks, temperature)
    cosines, rows = naive_nearest(test, train, 45)
    for k in ks:
        near = [[labels[m].item() for m in row[:k]] for row in rows]
        assert found[f"majority_k{k}"].tolist() == [naive_majority(of_image) for of_image in near]
        assert found[f"weighted_k{k}"].tolist() == [
            naive_weighted(cosine[:k], of_image, temperature)
            for cosine, of_image in zip(cosines, near, strict=True)
        ]


def test_of_equal_votes_the_class_of_the_nearest_wins() -> None:
    train = torch.tensor([[1.0, 0], [1, 0], [1, 0], [1, 0]])
    found = predictions(train[:1], train, torch.tensor([3, 1, 1, 3]), (2, 4))
    assert (found["weighted_k2"], found["majority_k2"], found["weighted_k4"]) == (3, 3, 3)


def accuracy(test: Tensor, train: Tensor, label: Tensor, ks: tuple[int, ...]) -> dict[str, float]:
    knn = KNNAccuracy(10, ks, intervals=False)
    knn.update(predictions(test, train, label, ks), label)
    return {name: value.item() for name, value in knn.compute().items()}


def test_perfect_embeddings_score_one_and_random_ones_chance() -> None:
    labels, ks = torch.arange(2000) % 10, (1, 10, 20)
    perfect = one_hot(labels, 10).float()
    generator = torch.Generator().manual_seed(1)
    test, train = (normalize(torch.randn(2000, 16, generator=generator), dim=1) for _ in range(2))
    found = accuracy(perfect, perfect, labels, ks)
    assert set(found.values()) == {1.0} and len(found) == 12
    for share in accuracy(test, train, labels, ks).values():
        assert share == pytest.approx(0.1, abs=5 * (0.09 / 2000) ** 0.5)


def test_the_mean_over_classes_is_of_those_with_images() -> None:
    knn = KNNAccuracy(3, (1,), intervals=False)
    for prediction, label in (([0, 0, 1], [0, 0, 0]), ([1], [1])):
        named = {name: torch.tensor(prediction) for name in knn.names}
        knn.update(named, torch.tensor(label))
    found = knn.compute()
    assert found["weighted_k1"] == 3 / 4
    assert found["majority_k1_mean_per_class_recall"] == pytest.approx((2 / 3 + 1) / 2)


def test_a_diverged_model_predicts_nothing() -> None:
    nan = torch.full((3, 4), torch.nan)
    found = predictions(nan, nan, torch.tensor([0, 1, 1]), (2,))
    assert [x.tolist() for x in found.values()] == [[-1] * 3] * 2
