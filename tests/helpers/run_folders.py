"""Run folders as training and evaluation leave them, with numbers that a test chooses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

IMAGES = 400  # of a set of `plausible_run`


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
        zero_shot = f"{name}/zero_shot"
        right = np.arange(IMAGES) < IMAGES * (0.5 + gain)
        put(zero_shot, "acc1", float(right.mean()))
        details[zero_shot] = {
            "hits": {
                "set": name,
                "count": IMAGES,
                "images": {"acc1": np.packbits(right).tobytes().hex()},
            },
            "failures": [{"image": "3", "class": name, "predicted": "x", "lead": 0.2 + gain}],
            "confusions": [{"class": name, "predicted": "x", "images": 7, "share": 0.5}],
        }
        details[f"{name}/geometry"]["matrix"] = {
            "texts": ["a", name],
            "cosine": [[0.5, 0.1], [0.2, 0.5 + gain]],
        }
        found = [{"image": "3", "cosine": 0.25, "right": True}, {"image": "4", "cosine": None}]
        details[f"{name}/retrieval"] = {
            "gallery": [{"image": "3", "text": f"a {name}", "rank": 2, "found": found}]
        }
        put(f"{name}/retrieval", "text_to_image_r1", 0.2)
    put("photos/robustness", "acc1", 0.5 + gain)
    metrics["photos/robustness/mean_acc1"] = 0.3 + gain
    put("drawings/robustness", "acc1", 0.3 + gain)
    metrics["drawings/robustness/drop"] = 0.4
    line = {"slope": 0.8, "intercept": -0.1, "scale": "linear"}
    details["drawings/robustness"] = {"protocol": {"baseline": line}}
    write_run(folder, metrics, details)
    for title in (f"{name}_{kind}" for name in sets for kind in ("zero_shot", "retrieval")):
        (folder / "details" / title).mkdir()
        Image.new("RGB", (96, 64), "red").save(folder / "details" / title / "3.webp")
    write_config(folder, {"objective": {"lambda_in_modal": gain}, "seed": 0})
    (folder / "csv").mkdir()
    rows = [f"{step},{1 / step + gain},{14 + gain},0.1" for step in range(1, 31)]
    log = ["step,train/total,train/scale,lr-AdamW/pg1", *rows]
    (folder / "csv/metrics.csv").write_text("\n".join(log) + "\n")
    return folder


def write_config(
    folder: Path,
    settings: Mapping[str, Any],
    choices: Mapping[str, Any] | None = None,
    command: str = "train.py",
) -> Path:
    """`config.yaml`, as JSON, which is YAML too, and `provenance.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(json.dumps({"run_dir": str(folder), **settings}))
    about = {"choices": dict(choices or {}), "command": command}
    (folder / "provenance.json").write_text(json.dumps(about))
    return folder
