from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from cyclip_pl.reports.kinds import kind_of


@pytest.mark.parametrize(
    ("figures", "unit", "better"),
    [
        ("top1 macro_recall fine_top1 coarse_top3 k30 weighted_k20 majority_k5", "%", 1),
        ("accuracy mean_accuracy image_to_text_r1 text_to_image_r10", "%", 1),
        ("adamw_accuracy lbfgs_5_shot_mean_per_class lbfgs_accuracy", "%", 1),
        ("effective_robustness mean_effective_robustness", "pp", 1),
        ("drop mean_drop", "%", -1),
        ("image_to_text_median_rank text_to_image_median_rank", "", -1),
        ("lbfgs_5_shot_accuracy_std", "pp", 0),
        # Alignment of captions is a distance, of labels a cosine: neither more nor less is better.
        ("samples classes skipped lbfgs_l2 alignment uniformity modality_gap seconds", "", 0),
    ],
)
def test_units_and_directions(figures: str, unit: str, better: int) -> None:
    for figure in figures.split():
        assert (kind_of(figure).unit, kind_of(figure).better) == (unit, better), figure


def test_what_evaluations_write_with_an_interval_is_a_share(real_runs: list[Path]) -> None:
    figures = json.loads((real_runs[0] / "metrics.json").read_text())
    bounded = {key.removesuffix("_low") for key in figures if key.endswith("_low")}
    assert len(bounded) > 15
    for key in bounded:
        assert (kind_of(key.split("/")[2]).unit, kind_of(key.split("/")[2]).better) == ("%", 1), key


@pytest.mark.parametrize(
    ("figure", "value", "text"),
    [
        ("top1", 0.35649, "35.6"),
        ("top1", 0.0, "0.0"),
        ("drop", -1.093, "−109.3"),
        ("effective_robustness", -0.0001, "0.0"),
        ("samples", 1281167.0, "1,281,167"),
        ("modality_gap", 0.716149, "0.7161"),
        ("uniformity", -0.08702, "−0.08702"),
        ("lbfgs_l2", 1e300, "1e+300"),
        ("top1", None, "–"),
        ("drop", math.nan, "nan"),
        ("drop", -math.inf, "−inf"),
    ],
)
def test_text(figure: str, value: float | None, text: str) -> None:
    assert kind_of(figure).text(value) == text
