from __future__ import annotations

import pytest
import torch

from cyclip_pl.evaluation.probes.row_splits import few_shot, hold_out

LABEL = torch.tensor([3] * 40 + [0] * 3 + [7] * 1 + [5] * 12)[
    torch.randperm(56, generator=torch.Generator().manual_seed(0))
]


def images(rows: torch.Tensor) -> dict[int, int]:
    labels = LABEL[rows].tolist()
    return {label: labels.count(label) for label in (0, 3, 5, 7)}


@pytest.mark.parametrize("shots", [1, 5, 20, 50])
def test_each_class_gives_as_many_or_all_that_it_has(shots: int) -> None:
    rows = few_shot(LABEL, shots, seed=1)
    assert rows.tolist() == sorted(set(rows.tolist()))
    assert images(rows) == {c: min(n, shots) for c, n in images(torch.arange(56)).items()}


def test_the_seed_draws_and_more_shots_add_to_fewer() -> None:
    five = few_shot(LABEL, 5, seed=1)
    assert torch.equal(five, few_shot(LABEL, 5, seed=1))
    assert not torch.equal(five, few_shot(LABEL, 5, seed=2))
    assert set(five.tolist()) < set(few_shot(LABEL, 20, seed=1).tolist())


def test_every_example_of_a_class_is_drawn_equally_often() -> None:
    drawn = torch.zeros(56)
    for seed in range(800):
        drawn[few_shot(LABEL, 4, seed)] += 1
    of_class = drawn[LABEL == 3]  # 80 times each of 40, the deviation below 9
    assert of_class.sum() == 800 * 4
    assert (of_class - 80).abs().max() < 45


def test_a_share_of_each_class_is_held_out() -> None:
    fit, validate = hold_out(LABEL, 0.25, seed=3)
    assert sorted([*fit.tolist(), *validate.tolist()]) == list(range(56))
    assert images(validate) == {0: 1, 3: 10, 5: 3, 7: 0}
    # One at least, and never all.
    assert images(hold_out(LABEL, 0.01, seed=3)[1]) == {0: 1, 3: 1, 5: 1, 7: 0}
    assert images(hold_out(LABEL, 0.99, seed=3)[1]) == {0: 2, 3: 39, 5: 11, 7: 0}
    assert not torch.equal(validate, hold_out(LABEL, 0.25, seed=4)[1])


def test_where_nothing_can_be_held_out() -> None:
    with pytest.raises(ValueError, match="^no class has two examples"):
        hold_out(torch.tensor([4, 1, 2]), 0.2, seed=0)
