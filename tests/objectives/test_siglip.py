import pytest
import torch
from hydra.utils import instantiate

from cyclip_pl.objectives.needs import Needs
from cyclip_pl.objectives.siglip import SigLIP
from cyclip_pl.types import Embeddings
from tests.helpers import formulas
from tests.helpers.composed import composed
from tests.helpers.embeddings import embeddings, run
from tests.helpers.formulas import with_gradients


def test_total_and_gradients_are_the_papers() -> None:
    objective = SigLIP(init_scale=12.0, init_bias=-3.0).double()
    rows = embeddings(Needs(), n=7)
    terms, gradients, parameters = run(objective, rows)
    scalars = [objective.logit_scale.detach(), objective.logit_bias.detach()]
    (value,), expected = with_gradients(
        lambda i, t, log_s, b: formulas.sigmoid(i, t, log_s.exp().squeeze(), b.squeeze()),
        rows.image[0],
        rows.text[0],
        *scalars,
    )
    torch.testing.assert_close(terms["total"], value)
    torch.testing.assert_close(gradients["image"][0], expected[0])
    torch.testing.assert_close(gradients["text"][0], expected[1])
    torch.testing.assert_close(parameters["logit_scale"], expected[2])
    torch.testing.assert_close(parameters["logit_bias"], expected[3])


def test_it_starts_where_the_paper_does() -> None:
    scalars = instantiate(composed("objective=siglip").objective).scalars()
    torch.testing.assert_close(scalars, {"scale": torch.tensor(10.0), "bias": torch.tensor(-10.0)})


def test_views_are_averaged_over_their_pairs() -> None:
    rows = embeddings(Needs(image_views=2, text_views=2))
    objective = SigLIP().double()
    pairs = [objective(Embeddings(i[None], t[None]))["total"] for i, t in rows.pairs()]
    torch.testing.assert_close(objective(rows)["total"], sum(pairs) / 4)


def test_it_begins_with_the_scale_and_bias_of_pretrained_weights_together() -> None:
    objective = SigLIP(max_scale=200.0)
    assert objective.scale.item() == pytest.approx(10) and objective.logit_bias.item() == -10
    objective.begin_from(100.0, None)  # of a model without a bias: not one of a sigmoid
    assert objective.scale.item() == pytest.approx(10) and objective.logit_bias.item() == -10
    objective.begin_from(117.0, -12.5)
    assert objective.scale.item() == pytest.approx(117) and objective.logit_bias.item() == -12.5
    typed = SigLIP(init_scale=12.0, init_bias=0.0, max_scale=200.0)
    typed.begin_from(117.0, -12.5)
    assert typed.scale.item() == pytest.approx(12) and typed.logit_bias.item() == 0
