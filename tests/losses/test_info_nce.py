import pytest
import torch

from cyclip_pl.losses.contrastive import contrastive_loss
from cyclip_pl.losses.info_nce import info_nce
from tests.helpers import formulas
from tests.helpers.formulas import unit_rows, with_gradients


@pytest.mark.parametrize(("n", "d"), [(1, 3), (7, 4), (13, 32)])
def test_value_and_gradients_are_the_formulas(n, d) -> None:
    rows = (*unit_rows(n, d, seed=n), torch.tensor(14.3, dtype=torch.float64))
    values, gradients = with_gradients(info_nce, *rows)
    expected, expected_gradients = with_gradients(formulas.info_nce, *rows)
    torch.testing.assert_close(values, expected, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(gradients, expected_gradients, rtol=1e-9, atol=1e-12)


def test_both_directions_are_the_contrastive_loss() -> None:
    image, text = unit_rows(6, 4, seed=0)
    both = (info_nce(image, text, 9.0) + info_nce(text, image, 9.0)) / 2
    torch.testing.assert_close(both, contrastive_loss(image, text, 9.0))
