import pytest
import torch

from cyclip_pl.objectives.nclip import NCLIP
from cyclip_pl.objectives.needs import Needs
from cyclip_pl.projectors.clusters import Clusters
from cyclip_pl.types import Features
from tests.helpers.embeddings import embeddings, run
from tests.helpers.formulas import cluster_terms, with_gradients


@pytest.mark.parametrize("stop_gradient", [True, False])
def test_total_and_gradients_are_the_papers(stop_gradient) -> None:
    objective = NCLIP(0.3, 0.7, stop_gradient)
    rows = embeddings(Needs(), n=6)
    terms, gradients, _ = run(objective, rows)

    def formula(log_p, log_q):
        cross_entropy, entropy, of_mean = cluster_terms(log_p, log_q, stop_gradient)
        return cross_entropy + 0.3 * entropy - 0.7 * of_mean

    (value,), expected = with_gradients(formula, rows.image_clusters[0], rows.text_clusters[0])
    torch.testing.assert_close(terms["total"], value)
    actual = [gradients["image_clusters"][0], gradients["text_clusters"][0]]
    torch.testing.assert_close(actual, expected)
    assert gradients.keys() == {"image_clusters", "text_clusters"}


def test_views_are_averaged() -> None:
    rows = embeddings(Needs(image_views=2))
    terms, objective = run(NCLIP(), rows)[0], NCLIP()
    one_by_one = []
    for view in (0, 1):
        single = embeddings(Needs(image_views=2))
        single.image_clusters = single.image_clusters[view : view + 1]
        one_by_one.append(objective(single)["total"])
    torch.testing.assert_close(terms["total"], sum(one_by_one) / 2)


@pytest.mark.parametrize("setting", ["lambda_sharpness", "lambda_smoothness"])
def test_a_negative_weight_is_refused(setting) -> None:
    with pytest.raises(ValueError, match=f"objective.{setting}=-1: must be a number at least 0"):
        NCLIP(**{setting: -1})


def _trained(**weights) -> dict[str, float]:
    """Noisy looks at eight points, sixteen clusters, 150 steps."""
    torch.manual_seed(0)
    objective = NCLIP(**weights)
    projector = Clusters(
        4, clusters=16, width=32, temperature=0.1, last_batch_norm=False, zero_shot="clusters"
    )
    points = torch.randn(8, 4).repeat(16, 1)
    optimizer = torch.optim.AdamW(projector.parameters(), 1e-2)
    for _ in range(150):
        looks = points + 0.1 * torch.randn(2, 1, *points.shape)
        terms = objective(projector(Features(*looks)))
        optimizer.zero_grad()
        terms["total"].backward()
        optimizer.step()
    return {name: value.item() for name, value in terms.items()}


@pytest.mark.slow
def test_without_smoothness_few_clusters_are_left() -> None:
    without = _trained(lambda_sharpness=1.0, lambda_smoothness=0.0)
    both = _trained(lambda_sharpness=1.0, lambda_smoothness=2.0)
    assert without["entropy_of_mean"] < 1.8
    assert both["entropy_of_mean"] > 2.5
    assert without["effective_clusters"] < 6 < 12 < both["effective_clusters"]


@pytest.mark.slow
def test_without_sharpness_assignments_say_nothing() -> None:
    without = _trained(lambda_sharpness=0.0, lambda_smoothness=2.0)
    both = _trained(lambda_sharpness=1.0, lambda_smoothness=2.0)
    assert both["entropy"] < 1.0 < 2.0 < without["entropy"]
    assert without["cluster_information"] < 0.7 < 1.4 < both["cluster_information"]
