"""A trace that a browser opens, a table, and a run that is too short for them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from cyclip_pl import run_folder
from cyclip_pl.callbacks.operators import operators
from cyclip_pl.training import train
from tests.helpers.composed import composed
from tests.helpers.world import shrunk

SHORT = ["callbacks=[default,profile]", "callbacks.profile.first=1", "callbacks.profile.steps=2"]


def test_the_table_counts_per_step() -> None:
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        for _ in range(2):
            (torch.ones(8, 8) @ torch.ones(8, 8)).sum().item()
    lines = operators(profiled, steps=2).splitlines()
    assert lines[0].split() == ["operator", "calls/step", "ms/step", "share"]
    product = next(line.split() for line in lines if line.startswith("aten::mm "))
    assert product[1] == "1.0"
    assert "aten::item in the loop: 1 per step" in lines
    assert len(operators(profiled, steps=2, rows=1).splitlines()) == 1 + 1 + 2 + 1


@pytest.mark.slow
def test_a_run_writes_a_trace_and_a_table_of_its_steps(world, tmp_path: Path, capsys) -> None:
    train(composed(*shrunk(world), *SHORT, "trainer.max_steps=4", run_dir=tmp_path))
    trace = json.loads(gzip.decompress((tmp_path / "trace.json.gz").read_bytes()))
    steps = [e for e in trace["traceEvents"] if e["name"] == "Optimizer.step#AdamW.step"]
    assert len([e for e in steps if e["ph"] == "X"]) == 2
    table = (tmp_path / "operators.txt").read_text()
    assert "aten::convolution_backward" in table
    printed = capsys.readouterr().out
    assert table in printed and str(tmp_path / "trace.json.gz") in printed
    run_folder.clear(tmp_path)
    assert not {"trace.json.gz", "operators.txt"} & {path.name for path in tmp_path.iterdir()}


@pytest.mark.slow
def test_a_run_that_is_too_short_is_refused(world, tmp_path: Path) -> None:
    message = r"^callbacks\.profile\.steps=2: 2 steps are left, .* set trainer\.max_steps to 3 or"
    with pytest.raises(ValueError, match=message):
        train(composed(*shrunk(world), *SHORT, "trainer.max_steps=2", run_dir=tmp_path))
