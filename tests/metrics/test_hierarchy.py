from __future__ import annotations

import pytest
import torch

from cyclip_pl.metrics.hierarchy import HierarchyAccuracy, coarse_ranks, fine_ranks


def naive_fine(scores: list[float], label: int, superclass: list[int]) -> int:
    rivals = [k for k in range(len(scores)) if superclass[k] == superclass[label]]
    return sorted(rivals, key=lambda k: (-scores[k], k)).index(label)


def naive_coarse(scores: list[float], label: int, superclass: list[int]) -> int:
    best: dict[int, float] = {}
    for k, score in enumerate(scores):
        best[superclass[k]] = max(best.get(superclass[k], -float("inf")), score)
    return sorted(best, key=lambda s: (-best[s], s)).index(superclass[label])


@pytest.mark.parametrize("superclasses", [1, 4, 30])
def test_equal_loops_with_ties_and_empty_superclasses(superclasses: int) -> None:
    # 30 numbers for 13 classes: most superclasses are empty, some have one class.
    generator = torch.Generator().manual_seed(superclasses)
    score = torch.randint(-3, 3, (200, 13), generator=generator).float()
    label = torch.randint(0, 13, (200,), generator=generator)
    superclass = torch.randint(0, superclasses, (13,), generator=generator)
    rows = list(zip(score.tolist(), label.tolist(), strict=True))
    expected = [naive_fine(s, y, superclass.tolist()) for s, y in rows]
    assert fine_ranks(score, label, superclass).tolist() == expected
    expected = [naive_coarse(s, y, superclass.tolist()) for s, y in rows]
    assert coarse_ranks(score, label, superclass).tolist() == expected


def test_a_superclass_of_at_most_k_classes_is_always_a_hit() -> None:
    score = torch.randn(50, 6, generator=torch.Generator().manual_seed(0))
    superclass = torch.tensor([0, 1, 1, 2, 2, 2])
    label = torch.arange(50) % 3
    assert (fine_ranks(score, label, superclass)[label == 0] == 0).all()
    assert (fine_ranks(score, label, superclass) < 2).all()


def test_one_superclass_is_plain_accuracy_and_one_class_each_is_too() -> None:
    score = torch.randn(80, 7, generator=torch.Generator().manual_seed(1))
    label = torch.arange(80) % 7
    together, apart = torch.zeros(7, dtype=torch.int64), torch.arange(7).flip(0)
    assert torch.equal(fine_ranks(score, label, together), coarse_ranks(score, label, apart))
    assert (coarse_ranks(score, label, together) == 0).all()
    assert (fine_ranks(score, label, apart) == 0).all()


def test_random_scores_are_at_chance() -> None:
    # 20 superclasses of 5 classes, as CIFAR-100.
    score = torch.randn(10_000, 100, generator=torch.Generator().manual_seed(2))
    label, superclass = torch.arange(10_000) % 100, torch.arange(100) % 20
    for k in (1, 2, 3):
        fine = (fine_ranks(score, label, superclass) < k).double().mean()
        coarse = (coarse_ranks(score, label, superclass) < k).double().mean()
        assert fine == pytest.approx(k / 5, abs=0.025)
        assert coarse == pytest.approx(k / 20, abs=0.02)


def test_perfect_scores_are_first_and_scores_not_finite_last() -> None:
    superclass = torch.tensor([0, 0, 1, 1])
    label = torch.arange(4)
    perfect = torch.eye(4)
    for ranks in (fine_ranks, coarse_ranks):
        assert ranks(perfect, label, superclass).tolist() == [0, 0, 0, 0]
    # The score that is not finite is of another superclass.
    perfect[0, 3], perfect[3, 0] = torch.nan, -torch.inf
    assert fine_ranks(perfect, label, superclass).tolist() == [4, 0, 0, 4]
    assert coarse_ranks(perfect, label, superclass).tolist() == [2, 0, 0, 2]


def test_shares_are_those_of_the_ranks_and_ks_that_say_nothing_are_left_out() -> None:
    score = torch.randn(90, 6, generator=torch.Generator().manual_seed(3))
    label, superclass = torch.arange(90) % 6, torch.tensor([4, 4, 4, 1, 1, 9])
    accuracy = HierarchyAccuracy(superclass, top_k=(1, 2, 3, 4), intervals=False)
    for block in torch.arange(90).split(40):
        accuracy.update(score[block], label[block])
    fine, coarse = (of(score, label, superclass) for of in (fine_ranks, coarse_ranks))
    assert {name: value.item() for name, value in accuracy.compute().items()} == {
        "fine_acc1": (fine < 1).double().mean().item(),
        "fine_acc2": (fine < 2).double().mean().item(),
        "coarse_acc1": (coarse < 1).double().mean().item(),
        "coarse_acc2": (coarse < 2).double().mean().item(),
        "coarse_acc3": 1,
    }
