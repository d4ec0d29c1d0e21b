from __future__ import annotations

import math

import pytest
import torch

from cyclip_pl.metrics.modality_gap import ModalityGap
from tests.helpers.formulas import unit_rows
from tests.helpers.loops import square


def test_equals_loops_for_unequal_numbers() -> None:
    image, text = unit_rows(9, 4, seed=2)[0], unit_rows(5, 4, seed=3)[1]
    gap = ModalityGap(4)
    gap.update(image[:3], text)
    gap.update(image[3:], text[:0])
    means = [[sum(c) / len(x) for c in zip(*x.tolist(), strict=True)] for x in (image, text)]
    assert gap.compute().item() == pytest.approx(math.sqrt(square(*means)), rel=1e-12)


def test_rows_of_another_width_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^text: shape \(2, 5\): must be \(N, 4\), the metric's"):
        ModalityGap(4).update(torch.ones(2, 4), torch.ones(2, 5))
