"""What a run says about itself: its settings, metrics, provenance, and the licence of its data."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cyclip_pl.checkpoints.files import AVERAGED_FROM, checkpoint_file, read_checkpoint
from cyclip_pl.checkpoints.shards import shape_alone

_MOST_BYTES = 10_000_000  # of a JSON file, which may come from a stranger


@dataclass
class Facts:
    """Read from a checkpoint and the run folder around it; empty where they do not say.

    Attributes:
        config: All settings of the run.
        provenance: As `cyclip_pl.provenance` makes it.
        step: Optimizer steps that the weights have made.
        metrics: `metrics.json`, if it is of these weights.
        samples: Image-text pairs that training saw, if `metrics.json` is of these weights.
        data_license: As the `meta.json` beside the training shards states it.
    """

    config: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    step: int | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    samples: int | None = None
    data_license: str | None = None


def read_facts(source: str | Path, weights: str = "saved") -> Facts:
    """The facts of a run folder or a checkpoint; none of a model that was trained elsewhere.

    Args:
        weights: Which of its weights, as `load` takes it: metrics are of the saved ones.
    """
    try:
        file = checkpoint_file(source)
        checkpoint = read_checkpoint(file, shape_alone)
    except ValueError:
        return Facts()
    step, made_by = checkpoint.get("global_step"), checkpoint.get("provenance")
    facts = Facts(
        config=checkpoint["config"],
        provenance=made_by if isinstance(made_by, dict) else {},
        step=step if type(step) is int else None,
    )
    if isinstance(file, Path) and (weights == "saved" or AVERAGED_FROM not in checkpoint):
        _add_metrics(facts, file)
    shards = _below(facts.config, "data", "train", "shards")
    if isinstance(shards, str) and "://" not in shards:
        facts.data_license = _license(Path(shards))
    return facts


def _add_metrics(facts: Facts, file: Path) -> None:
    """Those of `metrics.json` of the run folder, if it was written at the checkpoint's step."""
    found = _read(file.parent.parent / "metrics.json")
    numbers = {k: float(v) for k, v in found.items() if type(v) in (int, float)}
    if facts.step is not None and numbers.get("train/steps") == facts.step:
        facts.metrics = {k: v for k, v in numbers.items() if not k.startswith("train/")}
        samples = numbers.get("train/samples")
        facts.samples = None if samples is None else int(samples)


def _license(shards: Path) -> str | None:
    """Of the nearest `meta.json`: beside the shards, or one folder above."""
    for folder in (shards, shards.parent):
        found = _read(folder / "meta.json").get("license")
        if isinstance(found, str):
            return found
    return None


def _read(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty if there is none that can be read."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            return {}
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _below(config: Any, *keys: str) -> Any:
    for key in keys:
        config = config.get(key) if isinstance(config, dict) else None
    return config
