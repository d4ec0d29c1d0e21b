from __future__ import annotations

import math

import pytest

from cyclip_pl.metric_kinds import kind_of, label, without_bounds


@pytest.mark.parametrize(
    ("metrics", "unit", "better"),
    [
        ("acc1 acc10 mean_per_class_recall fine_acc1 coarse_acc3 mean_acc1", "%", 1),
        ("image_to_text_r1 text_to_image_r10 k30 weighted_k20 majority_k5", "%", 1),
        ("adamw_acc1 lbfgs_5_shot_acc1 lbfgs_acc1 adamw_mean_per_class_recall", "%", 1),
        ("lbfgs_5_shot_mean_per_class_recall weighted_k10_mean_per_class_recall", "%", 1),
        ("effective_robustness mean_effective_robustness", "pp", 1),
        ("drop mean_drop", "%", -1),
        ("image_to_text_median_rank text_to_image_median_rank", "", -1),
        ("lbfgs_5_shot_acc1_std lbfgs_20_shot_mean_per_class_recall_std", "pp", 0),
        # Alignment is a distance of captions but a cosine of labels: neither direction is better.
        ("samples classes skipped lbfgs_l2 alignment uniformity modality_gap seconds", "", 0),
        ("train_samples image_effective_rank in_modal_inconsistency top1 accuracy", "", 0),
    ],
)
def test_units_and_directions(metrics: str, unit: str, better: int) -> None:
    for metric in metrics.split():
        assert (kind_of(metric).unit, kind_of(metric).better) == (unit, better), metric
        assert label(metric) == (f"{metric} ({unit})" if unit else metric)


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("acc1", 0.35649, "35.6"),
        ("acc1", 0.0, "0.0"),
        ("drop", -1.093, "−109.3"),
        ("effective_robustness", -0.0001, "0.0"),
        ("samples", 1281167.0, "1,281,167"),
        ("classes", 1166, "1,166"),
        ("modality_gap", 0.716149, "0.7161"),
        ("uniformity", -0.08702, "−0.08702"),
        ("lbfgs_l2", 1e300, "1e+300"),
        ("acc1", None, "–"),
        ("drop", math.nan, "nan"),
        ("drop", -math.inf, "−inf"),
    ],
)
def test_text(metric: str, value: float | None, text: str) -> None:
    assert kind_of(metric).text(value) == text


def test_the_ends_of_an_interval_need_their_metric() -> None:
    names = ["acc1", "acc1_low", "acc1_high", "mind_the_low", "k3_high"]
    assert without_bounds(names) == ["acc1", "mind_the_low", "k3_high"]
