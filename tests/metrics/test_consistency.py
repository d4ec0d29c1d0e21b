from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from cyclip_pl.metrics.consistency import ConsistencyScore
from cyclip_pl.metrics.neighbours import labels_of_nearest, majority
from tests.helpers.loops import naive_majority, naive_nearest


def scores(
    test: Tensor, prediction: Tensor, train: Tensor, label: Tensor, ks: tuple[int, ...]
) -> dict[str, float]:
    consistency = ConsistencyScore(ks, intervals=False)
    _, near = labels_of_nearest(test, train, label, max(ks))
    for block in torch.arange(len(test)).split(25):
        consistency.update(prediction[block], majority(near[block]))
    return {name: value.item() for name, value in consistency.compute().items()}


def test_equals_loops_ties_included() -> None:
    # Rounded rows: many equal cosines, and votes that tie.
    generator = torch.Generator().manual_seed(0)
    test = torch.randn(60, 3, generator=generator).round()
    train = torch.randn(50, 3, generator=generator).round()
    labels = torch.randint(0, 4, (50,), generator=generator)
    prediction = torch.randint(0, 4, (60,), generator=generator)
    ks = (1, 2, 3, 4, 10, 50)
    found = scores(test, prediction, train, labels, ks)
    _, rows = naive_nearest(test, train, 50)
    for k in ks:
        agree = [
            naive_majority([labels[m].item() for m in row[:k]]) == prediction[n].item()
            for n, row in enumerate(rows)
        ]
        assert found[f"k{k}"] == sum(agree) / 60


def test_perfect_embeddings_score_one_and_random_ones_chance() -> None:
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(400) % 10
    perfect = one_hot(labels, 10).float()
    assert set(scores(perfect, labels, perfect, labels, (1, 10)).values()) == {1.0}
    test, train = (normalize(torch.randn(4000, 16, generator=generator), dim=1) for _ in range(2))
    prediction = torch.randint(0, 10, (4000,), generator=generator)
    for share in scores(test, prediction, train, torch.arange(4000) % 10, (1, 5, 30)).values():
        assert share == pytest.approx(0.1, abs=5 * (0.09 / 4000) ** 0.5)


def test_a_diverged_model_agrees_with_nothing() -> None:
    nan, prediction = torch.full((3, 4), torch.nan), torch.tensor([0, 1, -1])
    found = scores(nan, prediction, nan, torch.tensor([0, 1, 1]), (1, 3))
    assert found == {"k1": 0.0, "k3": 0.0}
