from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import one_hot

from cyclip_pl.evaluation.features.store import FeatureStore
from cyclip_pl.evaluation.protocols.robustness import Robustness
from tests.helpers.protocols import table, write_sets


@pytest.fixture
def sets(tmp_path: Path) -> list[str]:
    folder = write_sets(tmp_path, [n % 6 for n in range(24)], [0, 1])
    return [str(folder / "s"), str(folder / "t")]


def store(right: int) -> FeatureStore:
    """Of 24 images so many are where their class is."""
    said = torch.arange(24) % 6
    said[right:] += 1
    return FeatureStore(table(one_hot(said % 6, 6).float(), torch.eye(6)))


def test_metrics_by_hand(sets: list[str]) -> None:
    lines = {"t": {"slope": 1, "intercept": -0.1}}
    results = Robustness(sets[0], [sets[1]], baselines=lines)(store(18))
    metrics = results.metrics
    for name in ("s", "t"):
        assert metrics[f"{name}/robustness/acc1"] == 0.75
        assert metrics[f"{name}/robustness/acc1_low"] < 0.75
        assert metrics[f"{name}/robustness/samples"] == 24
    for name in ("t/robustness/", "s/robustness/mean_"):
        assert metrics[f"{name}drop"] == 0
        assert metrics[f"{name}effective_robustness"] == pytest.approx(0.1)
    assert results.details["t/robustness"]["protocol"]["baseline"]["intercept"] == -0.1


def test_the_in_distribution_set_is_left_out_of_the_shifted_ones(sets: list[str]) -> None:
    assert Robustness([sets[0]], sets).shifted == {"t": sets[1]}
    message = r"^evaluation\.robustness\.in_distribution=\[s, t\]: must be one set; name the"
    with pytest.raises(ValueError, match=message):
        Robustness(sets, sets)
    with pytest.raises(
        ValueError, match=r"^evaluation\.robustness\.shifted: needs a set besides s"
    ):
        Robustness(sets[0], [sets[0]])


def test_the_baseline_of_other_models_is_read_from_their_metrics(
    sets: list[str], tmp_path: Path
) -> None:
    for number, (x, y) in enumerate([(0.2, 0.1), (0.6, 0.5)]):
        run_folder = tmp_path / f"run{number}"
        run_folder.mkdir()
        metrics = {"s/robustness/acc1": x, "t/robustness/acc1": y, "train/seconds": 1}
        (run_folder / "metrics.json").write_text(json.dumps(metrics))
    runs = [str(tmp_path / "run0"), str(tmp_path / "run1" / "metrics.json")]
    s, t = sets
    found = Robustness(s, [t], models=runs)(store(24)).metrics
    assert found["t/robustness/effective_robustness"] == pytest.approx(1 - 0.9)
    assert found["s/robustness/mean_effective_robustness"] == pytest.approx(1 - 0.9)
    given = Robustness(s, [t], models=runs, baselines={"t": {"slope": 2, "intercept": 0}})
    assert given(store(24)).metrics["t/robustness/effective_robustness"] == pytest.approx(-1)
    (tmp_path / "run1" / "metrics.json").write_text("{}")
    for models, message in (
        (runs, "run1.*has no s/robustness/acc1$"),
        (runs[:1], r"^evaluation\.robustness\.models: t: a baseline needs two models"),
        (["/nowhere"], r"^evaluation\.robustness\.models: /nowhere: No such file"),
    ):
        with pytest.raises(ValueError, match=message):
            Robustness(s, [t], models=models).open()


@pytest.mark.parametrize(
    "settings",
    [
        {"shifted": ["b/a"]},
        {"scale": "probit"},
        {"models": "runs/a"},
        {"baselines": {"c": {}}},
        {"baselines": {"b": {"slope": 1}}},
    ],
)
def test_wrong_settings_are_one_line(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=rf"^evaluation\.robustness\.{next(iter(settings))}\b"):
        Robustness("a", **{"shifted": ["b"], **settings})


def test_missing_sets_show_on_opening(sets: list[str], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^evaluation\.robustness\.shifted: "):
        Robustness(sets[0], [str(tmp_path / "absent")]).open()
