import math

import pytest
import torch
from torch.nn.functional import normalize

from cyclip_pl.projectors.clusters import Clusters
from cyclip_pl.types import Features

SETTINGS = {
    "clusters": 7,
    "width": 9,
    "temperature": 0.5,
    "last_batch_norm": True,
    "zero_shot": "clusters",
}


def _trained(**settings) -> Clusters:
    """With running statistics of some batches."""
    torch.manual_seed(0)
    projector = Clusters(features=5, **{**SETTINGS, **settings}).double()
    for _ in range(20):
        projector(_features(16))
    return projector.eval()


def _features(n, views=1) -> Features:
    return Features(
        torch.randn(views, n, 5, dtype=torch.float64), torch.randn(1, n, 5, dtype=torch.float64)
    )


@pytest.mark.parametrize("last_batch_norm", [True, False])
def test_rows_are_distributions_of_the_scores(last_batch_norm) -> None:
    projector, features = _trained(last_batch_norm=last_batch_norm), _features(6, views=2)
    rows = projector(features)
    for log_p, head, given in (
        (rows.image_clusters, projector.image, features.image),
        (rows.text_clusters, projector.text, features.text),
    ):
        scores = torch.stack([head(view) for view in given])
        torch.testing.assert_close(log_p.exp(), torch.softmax(scores / 0.5, -1))
    torch.testing.assert_close(rows.image, normalize(features.image, dim=-1))
    torch.testing.assert_close(rows.text, normalize(features.text, dim=-1))


def test_the_inner_product_is_the_cluster_score() -> None:
    projector, features = _trained(), _features(6)
    image = projector.project_image(features.image[0])
    text = projector.project_text(features.text[0])
    ones = torch.ones(6, dtype=torch.float64)
    torch.testing.assert_close(image.norm(dim=-1), ones)
    torch.testing.assert_close(text.norm(dim=-1), ones)
    rows = projector(features)
    scores = (image @ text.T).tolist()
    for i, log_p in enumerate(rows.image_clusters[0]):
        for j, log_q in enumerate(rows.text_clusters[0]):
            score = sum(
                math.exp(p) * q for p, q in zip(log_p.tolist(), log_q.tolist(), strict=True)
            )
            assert scores[i][j] == pytest.approx(score / (100 * math.sqrt(7)))


def test_scores_keep_their_order_in_float32_with_many_clusters() -> None:
    torch.manual_seed(0)
    projector = Clusters(features=5, **{**SETTINGS, "clusters": 4096, "temperature": 0.1})
    for _ in range(20):
        projector(Features(torch.randn(1, 64, 5), torch.randn(1, 64, 5)))
    projector.eval()
    features = torch.randn(2, 50, 5)
    scores = projector.project_image(features[0]) @ projector.project_text(features[1]).T
    wide = projector.double()
    rows = wide(Features(features[:1].double(), features[1:].double()))
    exact = rows.image_clusters[0].exp() @ rows.text_clusters[0].T
    assert torch.equal(scores.argmax(1), exact.argmax(1))
    assert torch.equal(scores.argmax(0), exact.argmax(0))


def test_evaluations_may_see_the_joint_space() -> None:
    projector, features = _trained(zero_shot="joint"), _features(6)
    torch.testing.assert_close(
        projector.project_image(features.image), normalize(features.image, dim=-1)
    )


@pytest.mark.parametrize(
    ("setting", "value"), [("clusters", 1), ("width", 0), ("temperature", 0.0), ("zero_shot", "k")]
)
def test_settings_are_checked(setting, value) -> None:
    with pytest.raises(ValueError, match=f"projector.{setting}={value}: must be"):
        Clusters(features=5, **{**SETTINGS, setting: value})
