from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from cyclip_pl.metrics import modalities
from cyclip_pl.metrics.modalities import effective_rank, inconsistency, modality_gap
from tests.helpers.formulas import cross_modal, in_modal, unit_rows
from tests.helpers.loops import square


def test_modality_gap_equals_loops_of_unequal_numbers() -> None:
    image, text = unit_rows(9, 4, seed=2)[0], unit_rows(5, 4, seed=3)[1]
    means = [[sum(c) / len(x) for c in zip(*x.tolist(), strict=True)] for x in (image, text)]
    assert modality_gap(image, text) == pytest.approx(math.sqrt(square(*means)), rel=1e-12)


@pytest.mark.parametrize("shape", [(6, 9), (40, 5)])  # both forms of the loss
def test_inconsistency_is_the_formula_of_the_losses(shape: tuple[int, int]) -> None:
    image, text = unit_rows(*shape, seed=4)
    expected = in_modal(image, text).item(), cross_modal(image, text).item()
    assert inconsistency(image, text) == pytest.approx(expected, rel=1e-10)
    assert inconsistency(image, image) == (0, 0)


def naive_effective_rank(x: Tensor) -> float:
    values = torch.linalg.svd(x)[1].tolist()
    shares = [v / sum(values) for v in values]
    return math.exp(-sum(p * math.log(p) for p in shares if p > 0))


@pytest.mark.parametrize("rows", [2, 7, 1024])
@pytest.mark.parametrize("shape", [(3, 8), (8, 8), (50, 4)])
def test_effective_rank(shape: tuple[int, int], rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modalities, "_ROWS", rows)
    x = unit_rows(*shape, seed=5)[0]
    assert effective_rank(x) == pytest.approx(naive_effective_rank(x), rel=1e-10)
    orthonormal = torch.linalg.qr(torch.randn(max(shape), min(shape)).double())[0]
    assert effective_rank(orthonormal) == pytest.approx(min(shape), rel=1e-10)
    assert effective_rank(x[:1].repeat(20, 1)) == pytest.approx(1, rel=1e-10)
