from __future__ import annotations

import math

import pytest
import torch

from cyclip_pl.metrics.baseline import Baseline, fit_baseline
from cyclip_pl.metrics.effective_robustness import EffectiveRobustness, robustness


@pytest.mark.parametrize("scale", ["linear", "logit"])
def test_models_on_a_line_have_no_effective_robustness(scale: str) -> None:
    line = Baseline(0.9, -0.2, scale)
    points = [(x, line(x)) for x in (0.3, 0.5, 0.8)]
    fitted = fit_baseline(points, scale)
    for x, y in points:
        of_set = robustness(x, {"shifted": y}, {"shifted": fitted})["shifted"]
        assert of_set["effective_robustness"] == pytest.approx(0, abs=1e-12)


def test_metrics_by_hand() -> None:
    metrics = robustness(0.8, {"a": 0.6, "b": 0.2}, {"a": Baseline(1, -0.1), "b": Baseline(0.5, 0)})
    assert metrics["a"] == pytest.approx({"acc1": 0.6, "drop": 0.25, "effective_robustness": -0.1})
    assert metrics["b"] == pytest.approx({"acc1": 0.2, "drop": 0.75, "effective_robustness": -0.2})
    assert metrics["mean"] == pytest.approx(
        {"acc1": 0.4, "drop": 0.5, "effective_robustness": -0.15}
    )


def test_without_all_baselines_there_is_no_mean_effective_robustness() -> None:
    metrics = robustness(0.5, {"a": 0.5, "b": 0.5}, {"b": Baseline(1, 0)})
    assert "effective_robustness" not in metrics["a"]
    assert metrics["b"]["effective_robustness"] == 0
    assert metrics["mean"] == {"acc1": 0.5, "drop": 0}


def test_accuracies_at_the_edges() -> None:
    line = Baseline(1.0, 0.0, "logit")
    assert line(0.0) == pytest.approx(0, abs=1e-5) and line(1.0) == pytest.approx(1, abs=1e-5)
    assert math.isnan(robustness(0.0, {"a": 0.0})["a"]["drop"])


def test_what_cannot_be_a_baseline_or_a_suite() -> None:
    with pytest.raises(ValueError, match="^a baseline's scale is one of"):
        Baseline(1, 0, "log")
    with pytest.raises(ValueError, match="^a baseline needs finite numbers"):
        Baseline(math.nan, 0)
    with pytest.raises(ValueError, match="^robustness needs a shifted set$"):
        robustness(0.5, {})


def test_the_class_counts_both_kinds_of_images() -> None:
    line = Baseline(1.0, -0.1)
    metric = EffectiveRobustness(line)
    metric.update(torch.tensor([True, True, False]), shifted=False)
    metric.update(torch.tensor([True, False]), shifted=True)
    metric.update(torch.tensor([True]), shifted=False)
    found = {name: value.item() for name, value in metric.compute().items()}
    expected = robustness(0.75, {"shifted": 0.5}, {"shifted": line})["shifted"]
    assert found == {**expected, "acc1": 0.75, "shifted_acc1": 0.5}
