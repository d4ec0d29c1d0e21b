from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import normalize

from cyclip_pl.evaluation.features.store import FeatureStore
from cyclip_pl.evaluation.probes.lbfgs_probe import searched_lbfgs_probe
from cyclip_pl.evaluation.probes.linear_classifier import accuracy, mean_per_class_recall
from cyclip_pl.evaluation.probes.row_splits import few_shot
from cyclip_pl.evaluation.protocols.linear_probe import LinearProbe
from tests.helpers.distributed import run_distributed
from tests.helpers.protocols import table, two_faced, write_sets

TEST, TRAIN = [n * n % 6 for n in range(31)], [n % 6 for n in range(40)]


def test_shots_are_fitted_on_their_rows_and_averaged(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(1)
    image_ND = normalize(torch.randn(71, 4, generator=generator), dim=1)
    folder = write_sets(tmp_path, TEST, TRAIN)
    evaluation = LinearProbe([str(folder / "s")], shots=[3], seeds=[4, 5])
    results = evaluation(FeatureStore(table(image_ND, torch.eye(6)[:, :4]), batch_size=8))
    test, train = torch.tensor(TEST), torch.tensor(TRAIN)
    found, values = [], []
    for seed in (4, 5):
        rows = few_shot(train, 3, seed)
        probe, l2 = searched_lbfgs_probe(image_ND[31:][rows], train[rows], 6, seed)
        prediction = probe.predict(image_ND[:31])
        values.append((accuracy(prediction, test), mean_per_class_recall(prediction, test)))
        found.append(l2)
    for place, name in enumerate(("acc1", "mean_per_class_recall")):
        of_seeds = torch.tensor(values, dtype=torch.float64)[:, place]
        key = f"s/linear_probe/lbfgs_3_shot_{name}"
        assert results.metrics[key] == pytest.approx(of_seeds.mean().item())
        assert results.metrics[f"{key}_std"] == pytest.approx(of_seeds.std().item())
    assert results.details["s/linear_probe"]["l2_of_shots"] == {"3": found}
    assert list(results.predictions["s/linear_probe"])[3:] == ["adamw", "lbfgs"]


def test_it_looks_at_the_features(tmp_path: Path) -> None:
    # The AdamW probe takes few and small steps: it needs some hundred images.
    test, train = [n % 6 for n in range(12)], [n % 6 for n in range(300)]
    folder = write_sets(tmp_path, test, train)
    evaluation = LinearProbe([str(folder / "s")], shots=[5], seeds=[0])
    metrics = evaluation(FeatureStore(two_faced(test + train))).metrics
    assert metrics["s/linear_probe/adamw_acc1"] == 1
    assert metrics["s/linear_probe/lbfgs_5_shot_acc1"] == 1
    assert "s/linear_probe/lbfgs_5_shot_acc1_std" not in metrics


def _no_two(folder: Path) -> str:
    model = table(torch.eye(6).repeat(2, 1), torch.eye(6))
    evaluation = LinearProbe([str(folder / "s")], protocols=["adamw", "lbfgs"], shots=[])
    with pytest.raises(ValueError) as caught:
        evaluation(FeatureStore(model))
    return str(caught.value)


@pytest.mark.slow
def test_nothing_to_hold_out_is_one_line_on_every_rank(tmp_path: Path) -> None:
    # The rank that fits by AdamW meets no error of its own.
    labels = [n % 6 for n in range(6)]
    write_sets(tmp_path, labels, labels)
    messages = [_no_two(tmp_path), *run_distributed(_no_two, 2, tmp_path)]
    assert len(set(messages)) == 1
    assert messages[0].startswith("evaluation.linear_probe: s: no class has two examples")


@pytest.mark.parametrize(
    "settings",
    [
        {"protocols": ["sgd"]},
        {"protocols": "sgd"},
        {"protocols": ["adamw", "sgd"]},
        {"shots": [1, 5]},
        {"seeds": []},
        {"seeds": [-1]},
        {"metric": "top1"},
    ],
)
def test_wrong_settings_are_one_line(settings: dict[str, Any]) -> None:
    setting = next(iter(settings))
    with pytest.raises(ValueError, match=rf"^evaluation\.linear_probe\.{setting}=.*: must be"):
        LinearProbe(["x"], **settings)
