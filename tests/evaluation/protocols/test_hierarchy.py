from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import normalize

from cyclip_pl.evaluation.features.store import FeatureStore
from cyclip_pl.evaluation.protocols.hierarchy import Hierarchy
from cyclip_pl.evaluation.sets.library import Library
from tests.helpers.protocols import CLASSES, table, write_sets


def test_equals_loops(tmp_path: Path) -> None:
    labels = [n * 5 % 6 for n in range(29)]
    generator = torch.Generator().manual_seed(1)
    image_ND = normalize(torch.randn(31, 4, generator=generator), dim=1)
    text_KD = normalize(torch.randn(6, 4, generator=generator), dim=1)
    folder = write_sets(tmp_path, labels, [0, 1])
    evaluation = Hierarchy([str(folder / "t")], str(folder / "h.json"), top_k=[1, 2, 3])
    results = evaluation(FeatureStore(table(image_ND, text_KD), batch_size=8))
    fine, coarse = [], []
    for image, label in zip(image_ND, labels, strict=False):
        scores = (text_KD @ image).tolist()
        own = scores[label % 2 :: 2]
        fine.append(sorted(own, reverse=True).index(scores[label]))
        coarse.append(int(max(own) < max(scores[1 - label % 2 :: 2])))
    columns = results.predictions["t/hierarchy"]
    assert (columns["fine_rank"], columns["coarse_rank"]) == (fine, coarse)
    metrics = {name.split("/")[2]: value for name, value in results.metrics.items()}
    for k in (1, 2):
        assert metrics[f"fine_acc{k}"] == sum(rank < k for rank in fine) / 29
        assert metrics[f"coarse_acc{k}"] == sum(rank < k for rank in coarse) / 29
    assert "fine_acc3" not in metrics and "coarse_acc3" not in metrics
    assert (metrics["samples"], metrics["superclasses"]) == (29, 2)
    assert results.details["t/hierarchy"]["protocol"]["hierarchy"] == "h.json"


def test_a_set_has_its_own_hierarchy_or_is_skipped_with_a_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_sets(tmp_path, [0, 1], [0, 1])
    (folder / "t/hierarchy.json").unlink()
    sets = [str(folder / name) for name in ("s", "t")]
    evaluation = Hierarchy(sets, library=Library(datasets=sets))
    with caplog.at_level(logging.WARNING):
        results = evaluation(FeatureStore(table(torch.eye(6), torch.eye(6))))
    assert {name.split("/")[0] for name in results.metrics} == {"s"}
    assert "evaluation.hierarchy skips t: t has no hierarchy.json" in caplog.text
    message = (
        r"^evaluation\.hierarchy\.datasets: t has no hierarchy\.json; evaluation\.hierarchy\.hier"
    )
    with pytest.raises(ValueError, match=message):
        Hierarchy([str(folder / "t")]).open()
    by_set = Hierarchy(sets, {"t": str(folder / "h.json")})
    by_set.open()


def test_what_is_wrong_with_a_hierarchy_names_the_set(tmp_path: Path) -> None:
    folder = write_sets(tmp_path, [0, 1], [0, 1])
    t, file = str(folder / "t"), str(folder / "h.json")
    with pytest.raises(ValueError, match=r"^evaluation\.hierarchy\.hierarchy: t: .*not level 1"):
        Hierarchy([t], file, 1).open()
    (folder / "h.json").write_text(json.dumps({"all": CLASSES[:5]}))
    with pytest.raises(ValueError, match=r"^evaluation\.hierarchy\.hierarchy: t: .*class 5"):
        Hierarchy([t], file).open()


@pytest.mark.parametrize(
    "settings", [{"top_k": []}, {"level": "category"}, {"hierarchy": {"y": "h.json"}}]
)
def test_wrong_settings_are_one_line(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=rf"^evaluation\.hierarchy\.{next(iter(settings))}\b"):
        Hierarchy(["x"], **settings)
