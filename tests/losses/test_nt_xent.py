import pytest
import torch

from cyclip_pl.losses.nt_xent import nt_xent_loss
from tests.helpers.formulas import nt_xent, unit_rows, with_gradients


@pytest.mark.parametrize(("n", "d"), [(1, 3), (2, 5), (7, 4)])
@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_value_and_gradients_are_the_formulas(n, d, temperature) -> None:
    rows = unit_rows(n, d, seed=n)
    ours = with_gradients(lambda a, b: nt_xent_loss(a, b, temperature), *rows)
    expected = with_gradients(lambda a, b: nt_xent(a, b, temperature), *rows)
    torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-12)
