import pytest
import torch
from torch import Tensor

from cyclip_pl.losses.nt_xent import nt_xent_loss
from tests.losses.formulas import unit_rows, with_gradients


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """SimCLR's loss over the rows of both views, row by row."""
    rows, n = [*first, *second], len(first)
    total = first.new_zeros(())
    for i, row in enumerate(rows):
        others = [k for k in range(2 * n) if k != i]
        scores = {k: row.dot(rows[k]) / temperature for k in others}
        partner = i + n if i < n else i - n
        total = total - scores[partner] + torch.logsumexp(torch.stack(list(scores.values())), 0)
    return total / (2 * n)


@pytest.mark.parametrize(("n", "d"), [(1, 3), (2, 5), (7, 4)])
@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_value_and_gradients_are_the_formulas(n, d, temperature):
    rows = unit_rows(n, d, seed=n)
    ours = with_gradients(lambda a, b: nt_xent_loss(a, b, temperature), *rows)
    expected = with_gradients(lambda a, b: nt_xent(a, b, temperature), *rows)
    torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-12)
