import pytest
import torch

from cyclip_pl.losses.sigmoid import sigmoid_loss
from tests.helpers import formulas
from tests.helpers.formulas import relative_error, unit_rows, with_gradients


@pytest.mark.parametrize(("n", "d"), [(1, 3), (2, 5), (7, 4), (13, 32)])
@pytest.mark.parametrize(("scale", "bias"), [(10.0, -10.0), (1.0, 0.0), (30.0, 3.0)])
def test_value_and_gradients_are_the_formulas(n, d, scale, bias) -> None:
    scalars = [torch.tensor(x, dtype=torch.float64) for x in (scale, bias)]
    rows = (*unit_rows(n, d, seed=n), *scalars)
    values, gradients = with_gradients(sigmoid_loss, *rows)
    expected, expected_gradients = with_gradients(formulas.sigmoid, *rows)
    torch.testing.assert_close(values, expected, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(gradients, expected_gradients, rtol=1e-9, atol=1e-12)


def test_scores_far_from_zero_keep_their_digits() -> None:
    image, text = unit_rows(64, 32, seed=0, correlation=1.0)
    scalars = [torch.tensor(x, dtype=torch.float64) for x in (100.0, -10.0)]
    wide, _ = with_gradients(sigmoid_loss, image, text, *scalars)
    narrow, _ = with_gradients(
        sigmoid_loss, image.float(), text.float(), *(x.float() for x in scalars)
    )
    assert torch.isfinite(narrow[0])
    assert relative_error(narrow[0], wide[0]) < 1e-5
