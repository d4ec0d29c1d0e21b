import math

import pytest
import torch

from cyclip_pl.objectives.clip import CLIP
from cyclip_pl.objectives.hn_clip import HardNegativeCLIP
from cyclip_pl.objectives.needs import Needs
from tests.helpers.embeddings import embeddings, run
from tests.helpers.formulas import with_gradients


def _formula(image, text, log_scale, alpha, beta, top_k):
    """Term by term, in exponentials, as the paper writes it."""
    n, scale = len(image), log_scale.exp().squeeze()
    total = 0.0
    for queries, keys in ((image, text), (text, image)):
        for j in range(n):
            scores = [scale * queries[j].dot(keys[k]) for k in range(n)]
            negatives = sorted(
                (scores[k] for k in range(n) if k != j), key=lambda s: s.item(), reverse=True
            )[:top_k]
            weights = [torch.exp(beta * s) for s in negatives]
            mean = sum(weights) / len(weights)
            denominator = alpha * torch.exp(scores[j])
            for s, w in zip(negatives, weights, strict=True):
                denominator = denominator + w / mean * torch.exp(s)
            total = total - torch.log(torch.exp(scores[j]) / denominator)
    return total / (2 * n)


@pytest.mark.parametrize("settings", [(1.0, 0.25, None), (0.5, 1.0, 3), (0.9, 0.0, 1), (1, 2, 99)])
def test_total_and_gradients_are_the_papers(settings) -> None:
    objective = HardNegativeCLIP(*settings, init_scale=6.0).double()
    rows = embeddings(Needs(), n=7)
    terms, gradients, parameters = run(objective, rows)
    (value,), expected = with_gradients(
        lambda i, t, s: _formula(i, t, s, *settings),
        rows.image[0],
        rows.text[0],
        objective.logit_scale.detach(),
    )
    torch.testing.assert_close(terms["total"], value)
    actual = [gradients["image"][0], gradients["text"][0], parameters["logit_scale"]]
    torch.testing.assert_close(actual, expected)


def test_without_reweighting_it_is_clip() -> None:
    rows = embeddings(Needs())
    ours, expected = run(HardNegativeCLIP(1.0, 0.0).double(), rows), run(CLIP().double(), rows)
    torch.testing.assert_close(ours[0]["total"], expected[0]["total"])
    torch.testing.assert_close(ours[1:], expected[1:])


def test_harder_negatives_pull_more() -> None:
    rows = embeddings(Needs(), n=7)
    _, soft, _ = run(HardNegativeCLIP(beta=0.0, init_scale=3.0).double(), rows)
    _, hard, _ = run(HardNegativeCLIP(beta=2.0, init_scale=3.0).double(), rows)
    scores = (rows.image[0] @ rows.text[0].T).fill_diagonal_(-math.inf)
    hardest = scores.max(0).values.argmax()
    assert hard["text"][0, hardest].norm() > soft["text"][0, hardest].norm()


@pytest.mark.parametrize(
    ("setting", "value"), [("alpha", 0.0), ("alpha", 1.5), ("beta", -0.1), ("top_k", 0)]
)
def test_settings_are_checked(setting, value) -> None:
    with pytest.raises(ValueError, match=f"objective.{setting}={value}: must be"):
        HardNegativeCLIP(**{setting: value})


def test_one_sample_has_no_negatives() -> None:
    with pytest.raises(ValueError, match="a batch of one sample has no negatives"):
        HardNegativeCLIP()(embeddings(Needs(), n=1))
