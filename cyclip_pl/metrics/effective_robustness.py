"""Accuracy under distribution shift, against what the in-distribution accuracy promises."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import fmean
from typing import Any

from torch import Tensor

from cyclip_pl.metrics.base import BaseMetric
from cyclip_pl.metrics.baseline import Baseline


def robustness(
    accuracy: float,
    shifted: Mapping[str, float],
    baselines: Mapping[str, Baseline] | None = None,
) -> dict[str, dict[str, float]]:
    """Metrics of each shifted set by its name, and of their `mean`; all accuracies are fractions.

    Of each set `acc1`; `drop`, 1 - shifted / in-distribution, nan from an accuracy of 0; and, with
    a baseline, `effective_robustness`, shifted accuracy - baseline(in-distribution accuracy) (Taori
    et al., arXiv 2007.00644). `mean` has the mean accuracy, its drop, and the mean effective
    robustness if all sets have a baseline.

    Args:
        accuracy: On the in-distribution set.
        shifted: On the shifted sets, by name; none is called `mean`.
        baselines: By name of the shifted set.

    Raises:
        ValueError: `shifted` is empty.
    """
    if not shifted:
        raise ValueError("robustness needs a shifted set")
    assert "mean" not in shifted
    baselines = baselines or {}

    def of(accuracy_shifted: float) -> dict[str, float]:
        drop = 1 - accuracy_shifted / accuracy if accuracy else math.nan
        return {"acc1": accuracy_shifted, "drop": drop}

    metrics = {name: of(value) for name, value in shifted.items()}
    for name in shifted.keys() & baselines.keys():
        metrics[name]["effective_robustness"] = shifted[name] - baselines[name](accuracy)
    mean = of(fmean(shifted.values()))
    if shifted.keys() <= baselines.keys():
        mean["effective_robustness"] = fmean(m["effective_robustness"] for m in metrics.values())
    return {**metrics, "mean": mean}


class EffectiveRobustness(BaseMetric):
    """Accuracy on a shifted set, its drop and its distance to a baseline; see `robustness`.

    `acc1` of the in-distribution images, `shifted_acc1`, `drop` and, with a baseline,
    `effective_robustness`. nan while either kind of image is missing.

        robustness = EffectiveRobustness(Baseline(slope=1.2, intercept=-0.09))
        robustness.update(score_NK.argmax(1) == label_N, shifted=dataloader_idx == 1)
        self.log_dict(robustness.compute())
    """

    higher_is_better = True
    right_2: Tensor
    images_2: Tensor

    def __init__(self, baseline: Baseline | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.baseline = baseline
        self.add_count("right_2", 2)
        self.add_count("images_2", 2)

    def update(self, right_N: Tensor, shifted: bool) -> None:
        """Add images of one kind: whether each prediction is right, bool, (N,)."""
        kind_2 = self.images_2.new_tensor([not shifted, shifted])
        self.right_2 = self.right_2 + kind_2 * right_N.sum()
        self.images_2 = self.images_2 + kind_2 * len(right_N)

    def compute(self) -> dict[str, Tensor]:
        accuracy, shifted = (self.right_2.double() / self.images_2).tolist()
        baselines = {} if self.baseline is None else {"shifted": self.baseline}
        found = robustness(accuracy, {"shifted": shifted}, baselines)["shifted"]
        return self.scalars({"acc1": accuracy, "shifted_acc1": found.pop("acc1"), **found})
