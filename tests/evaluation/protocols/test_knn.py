from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import normalize

from cyclip_pl.evaluation.features.store import FeatureStore
from cyclip_pl.evaluation.protocols.knn import KNN
from tests.helpers.loops import naive_majority, naive_nearest, naive_weighted
from tests.helpers.protocols import table, two_faced, write_sets


def test_equals_loops(tmp_path: Path) -> None:
    test, train = [n % 6 for n in range(31)], [n * 7 % 6 for n in range(23)]
    generator = torch.Generator().manual_seed(1)
    image_ND = normalize(torch.randn(54, 4, generator=generator), dim=1)
    model = table(image_ND, torch.eye(6)[:, :4])
    write_sets(tmp_path, test, train)
    evaluation = KNN([str(tmp_path / "s")], ks=[1, 7, 24], temperature=0.2)
    results = evaluation(FeatureStore(model, batch_size=8))
    cosines, rows = naive_nearest(image_ND[:31], image_ND[31:], 7)
    found = results.predictions["s/knn"]
    for k in (1, 7):
        near = [[train[m] for m in row[:k]] for row in rows]
        assert found[f"majority_k{k}"] == [naive_majority(labels) for labels in near]
        assert found[f"weighted_k{k}"] == [
            naive_weighted(c[:k], labels, 0.2) for c, labels in zip(cosines, near, strict=True)
        ]
        for vote in ("majority", "weighted"):
            hits = [p == y for p, y in zip(found[f"{vote}_k{k}"], test, strict=True)]
            assert results.metrics[f"s/knn/{vote}_k{k}"] == sum(hits) / 31
    assert not [name for name in results.metrics if "k24" in name or "mean_per_class" in name]


def test_it_looks_at_the_features(tmp_path: Path) -> None:
    test, train = [n % 6 for n in range(12)], [n % 6 for n in range(18)]
    results = KNN([str(write_sets(tmp_path, test, train) / "s")], ks=[3])(
        FeatureStore(two_faced(test + train))
    )
    assert results.metrics["s/knn/weighted_k3"] == results.metrics["s/knn/majority_k3"] == 1
    assert results.details["s/knn"]["protocol"]["rows"] == "features"


@pytest.mark.parametrize("settings", [{"ks": "all"}, {"temperature": 0}, {"temperature": "1"}])
def test_wrong_settings_are_one_line(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=rf"^evaluation\.knn\.{next(iter(settings))}=.*: must be"):
        KNN(["x"], **settings)
