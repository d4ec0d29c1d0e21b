import pytest
import torch

from cyclip_pl.objectives.xclip import XCLIP
from tests.helpers import formulas
from tests.helpers.embeddings import embeddings, run
from tests.helpers.formulas import cluster_terms, with_gradients


def test_total_and_gradients_are_the_papers() -> None:
    objective = XCLIP(0.4, 0.9, lambda_sharpness=0.3, lambda_smoothness=0.7).double()
    rows = embeddings(objective.needs, n=6)
    terms, gradients, parameters = run(objective, rows)

    def formula(image, text, log_p, log_q, log_scale):
        clip = formulas.contrastive(image, text, log_scale.exp().squeeze())
        cross_entropy, entropy, of_mean = cluster_terms(log_p, log_q, stop_gradient=True)
        return 0.4 * clip + 0.9 * (cross_entropy + 0.3 * entropy - 0.7 * of_mean)

    names = ("image", "text", "image_clusters", "text_clusters")
    log_scale = objective.objectives["clip"].logit_scale.detach()
    (value,), expected = with_gradients(
        formula, *(getattr(rows, name)[0] for name in names), log_scale
    )
    torch.testing.assert_close(terms["total"], value)
    actual = [*(gradients[name][0] for name in names), *parameters.values()]
    torch.testing.assert_close(actual, expected)


def test_the_papers_weights_are_the_defaults() -> None:
    assert XCLIP().weights == {"clip": 0.3, "nclip": 0.7}


@pytest.mark.parametrize("setting", ["weight_clip", "weight_nclip", "lambda_sharpness"])
def test_a_negative_weight_is_refused(setting) -> None:
    with pytest.raises(ValueError, match=f"objective.{setting}=-1: must be a number at least 0"):
        XCLIP(**{setting: -1})
