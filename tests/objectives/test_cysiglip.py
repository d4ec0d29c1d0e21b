import pytest
import torch

from cyclip_pl.objectives.cysiglip import CySigLIP
from cyclip_pl.objectives.needs import Needs
from cyclip_pl.objectives.siglip import SigLIP
from tests.helpers import formulas
from tests.helpers.embeddings import embeddings, run
from tests.helpers.formulas import with_gradients


def test_total_and_gradients_are_sigmoid_and_consistency() -> None:
    objective = CySigLIP(0.5, 2.0, init_scale=12.0, init_bias=-3.0).double()
    rows = embeddings(Needs(), n=7)
    terms, gradients, parameters = run(objective, rows)

    def formula(image, text, log_scale, bias):
        sigmoid = formulas.sigmoid(image, text, log_scale.exp().squeeze(), bias.squeeze())
        in_modal, cross_modal = formulas.in_modal(image, text), formulas.cross_modal(image, text)
        return sigmoid + 0.5 * in_modal + 2.0 * cross_modal

    scalars = [objective.logit_scale.detach(), objective.logit_bias.detach()]
    (value,), expected = with_gradients(formula, rows.image[0], rows.text[0], *scalars)
    torch.testing.assert_close(terms["total"], value)
    torch.testing.assert_close(
        [*(gradients[k][0] for k in ("image", "text")), *parameters.values()], expected
    )
    torch.testing.assert_close(terms["in_modal"], formulas.in_modal(rows.image[0], rows.text[0]))


def test_both_weights_zero_is_siglip_to_the_last_bit() -> None:
    rows = embeddings(Needs())
    _, gradients, _ = run(CySigLIP(0.0, 0.0).double(), rows)
    _, expected, _ = run(SigLIP().double(), rows)
    assert all(torch.equal(gradients[k], expected[k]) for k in expected)


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(
        ValueError, match="objective.lambda_cross_modal=-1: must be a number at least 0"
    ):
        CySigLIP(lambda_cross_modal=-1)
