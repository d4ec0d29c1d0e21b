from __future__ import annotations

import pytest

from cyclip_pl.losses.consistency import consistency_terms
from cyclip_pl.metrics.inconsistency import Inconsistency
from tests.helpers.formulas import cross_modal, in_modal, unit_rows


@pytest.mark.parametrize("shape", [(6, 9), (40, 5)])
@pytest.mark.parametrize("correlation", [0.5, 0.999])
def test_equals_the_formula(shape: tuple[int, int], correlation: float) -> None:
    image, text = unit_rows(*shape, seed=4, correlation=correlation)
    inconsistency = Inconsistency(shape[1])
    inconsistency.update(image[:4], text[:4])
    inconsistency.update(image[4:], text[4:])
    found = [value.item() for value in inconsistency.compute().values()]
    assert found == pytest.approx(
        [in_modal(image, text).item(), cross_modal(image, text).item()], rel=1e-10
    )
    assert found == pytest.approx([x.item() for x in consistency_terms(image, text)], rel=1e-10)


def test_equal_modalities_are_consistent() -> None:
    image, _ = unit_rows(10, 4, seed=5)
    inconsistency = Inconsistency(4)
    inconsistency.update(image, image)
    assert inconsistency.compute() == {
        "in_modal_inconsistency": 0,
        "cross_modal_inconsistency": 0,
    }
