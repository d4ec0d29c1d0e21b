import pytest
import torch
from hydra.utils import instantiate

from cyclip_pl.objectives.clip import CLIP
from cyclip_pl.objectives.cyclip import CyCLIP
from cyclip_pl.types import Embeddings
from tests.helpers import formulas
from tests.helpers.composed import composed
from tests.helpers.formulas import unit_rows


def _terms(objective, n=6, d=4):
    image, text = unit_rows(n, d, seed=1)
    leaves = [x[None].clone().requires_grad_() for x in (image, text)]
    terms = objective.double()(Embeddings(*leaves))
    terms["total"].backward()
    return image, text, {k: v.detach() for k, v in terms.items()}, [x.grad for x in leaves]


@pytest.mark.parametrize("weights", [(0.25, 0.25), (0.0, 0.5), (0.5, 0.0), (0.0, 0.0), (3.0, 0.1)])
@pytest.mark.parametrize("shape", [(6, 4), (9, 3), (4, 16)])
def test_total_is_the_weighted_sum_of_the_papers_terms(weights, shape) -> None:
    image, text, terms, _ = _terms(CyCLIP(*weights, init_scale=10.0), *shape)
    expected = {
        "contrastive": formulas.contrastive(image, text, 10.0),
        "in_modal": formulas.in_modal(image, text),
        "cross_modal": formulas.cross_modal(image, text),
    }
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value, rtol=1e-6, atol=1e-9)
    total = (
        expected["contrastive"]
        + weights[0] * expected["in_modal"]
        + weights[1] * expected["cross_modal"]
    )
    torch.testing.assert_close(terms["total"], total, rtol=1e-6, atol=1e-9)


def test_published_weights_are_the_defaults() -> None:
    objective = instantiate(composed("objective=cyclip").objective)
    weights = objective.consistency
    assert (weights.lambda_in_modal, weights.lambda_cross_modal) == (0.25, 0.25)


@pytest.mark.parametrize(
    ("name", "off", "on"),
    [("c_cyclip", "in_modal", "cross_modal"), ("i_cyclip", "cross_modal", "in_modal")],
)
def test_variants_are_exactly_the_zero_weights(name, off, on) -> None:
    variant = instantiate(composed(f"objective={name}").objective)
    zero = instantiate(composed("objective=cyclip", f"objective.lambda_{off}=0").objective)
    *_, terms, gradients = _terms(variant)
    *_, zero_terms, zero_gradients = _terms(zero)
    assert terms == zero_terms
    assert all(torch.equal(a, b) for a, b in zip(gradients, zero_gradients, strict=True))
    # The penalty is a sum of ‖G‖² and ⟨G,Gᵀ⟩, not of the terms: the last bit may differ.
    total = terms["contrastive"] + 0.25 * terms[on]
    torch.testing.assert_close(terms["total"], total, rtol=1e-14, atol=0)


def test_both_weights_zero_is_clip_to_the_last_bit() -> None:
    *_, terms, gradients = _terms(CyCLIP(0.0, 0.0))
    *_, clip_terms, clip_gradients = _terms(CLIP())
    assert terms["total"] == clip_terms["total"]
    assert all(torch.equal(a, b) for a, b in zip(gradients, clip_gradients, strict=True))


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(
        ValueError, match="objective.lambda_in_modal=-1: must be a number at least 0"
    ):
        CyCLIP(lambda_in_modal=-1)
