"""Facts are those of the weights that are exported, and of nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from cyclip_pl.models.export.facts import Facts, read_facts

METRICS = {"a/zero_shot/acc1": 0.5, "train/steps": 7.0, "train/samples": 84.0, "b": None}


def run(folder: Path, **more: Any) -> Path:
    """A run folder whose checkpoint has made 7 steps."""
    (folder / "checkpoints").mkdir(parents=True)
    shards = str(folder / "emoji" / "train")
    content = {
        "state_dict": {},
        "config": {"seed": 1, "data": {"train": {"shards": shards}}},
        "scale": 1.0,
        "provenance": {"command": "train.py"},
        "global_step": 7,
    }
    torch.save(content | more, folder / "checkpoints" / "last.ckpt")
    (folder / "metrics.json").write_text(json.dumps(METRICS))
    return folder


def test_of_a_run_folder(tmp_path) -> None:
    folder = run(tmp_path / "run")
    (folder / "emoji").mkdir()
    (folder / "emoji" / "meta.json").write_text('{"license": "CC BY 4.0"}')
    facts = read_facts(folder)
    assert facts.config["seed"] == 1 and facts.provenance == {"command": "train.py"}
    assert (facts.step, facts.samples) == (7, 84)
    assert facts.metrics == {"a/zero_shot/acc1": 0.5}
    assert facts.data_license == "CC BY 4.0"


@pytest.mark.parametrize("step", [6, None])
def test_metrics_of_another_step_are_left_out(tmp_path, step) -> None:
    facts = read_facts(run(tmp_path / "run", global_step=step))
    assert facts.metrics == {} and facts.samples is None


def test_metrics_are_of_the_averaged_weights(tmp_path) -> None:
    folder = run(tmp_path / "run", current_model_state={})
    assert read_facts(folder, "raw").metrics == {}
    assert read_facts(folder, "saved").metrics


@pytest.mark.parametrize("text", ["[1]", "{", "[" * 100_000, '{"train/steps": "7"}', '{"a": true}'])
def test_a_file_that_says_nothing(tmp_path, text) -> None:
    folder = run(tmp_path / "run")
    (folder / "metrics.json").write_text(text)
    assert read_facts(folder).metrics == {}


def test_a_model_that_was_trained_elsewhere(tmp_path) -> None:
    assert read_facts(tmp_path) == Facts() == read_facts("hf-hub:org/model")
