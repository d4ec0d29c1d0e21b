"""Run folders as training and evaluation leave them, with numbers that a test chooses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


def write_run(
    folder: Path, metrics: Mapping[str, Any], details: Mapping[str, Any] | None = None
) -> Path:
    """`metrics.json`, and `details/` by the titles of the evaluations."""
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps(dict(metrics)))
    for title, of_title in (details or {}).items():
        (folder / "details").mkdir(exist_ok=True)
        name = f"{title.replace('/', '_')}.json"
        (folder / "details" / name).write_text(json.dumps(of_title))
    return folder


def plausible_run(folder: Path, gain: float = 0.0, sets: tuple[str, ...] = ("birds",)) -> Path:
    """A run with the data for every plot; a higher `gain` gives better metrics."""
    generator = np.random.default_rng(0)
    metrics: dict[str, float] = {"train/seconds": 12.5}
    details: dict[str, Any] = {}

    def put(title: str, name: str, value: float) -> None:
        metrics[f"{title}/{name}"] = value
        metrics[f"{title}/{name}_low"] = value - 0.02
        metrics[f"{title}/{name}_high"] = value + 0.03

    for name in sets:
        for k in (1, 3, 10):
            put(f"{name}/consistency", f"k{k}", 0.4 + gain + 0.01 * k)
        put(f"{name}/hierarchy", "coarse_acc1", 0.5 + gain)
        put(f"{name}/hierarchy", "fine_acc1", 0.6 + gain / 2)
        geometry = {"modality_gap": 0.8 - gain, "in_modal_inconsistency": 4 - gain}
        geometry |= {"cross_modal_inconsistency": 2 - gain}
        geometry |= {"image_effective_rank": 40.5, "text_effective_rank": 30.5 + gain}
        metrics |= {f"{name}/geometry/{key}": value for key, value in geometry.items()}
        details[f"{name}/geometry"] = {
            "similarity": {"low": -1, "high": 1, "true": [0, 1, 4, 3], "other": [50, 40, 10, 0]},
            "pca": {
                "variance": [0.3, 0.1],
                "image": generator.normal(size=(20, 2)).tolist(),
                "text": generator.normal(size=(10, 2)).tolist(),
            },
        }
    put("photos/robustness", "acc1", 0.5 + gain)
    metrics["photos/robustness/mean_acc1"] = 0.3 + gain
    put("drawings/robustness", "acc1", 0.3 + gain)
    metrics["drawings/robustness/drop"] = 0.4
    line = {"slope": 0.8, "intercept": -0.1, "scale": "linear"}
    details["drawings/robustness"] = {"protocol": {"baseline": line}}
    return write_run(folder, metrics, details)
