"""results.csv of a study."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from studies import plan, rows


def one(cell: str, seed: int, **metrics: str) -> rows.Row:
    about = {
        "overrides": f"objective={cell}",
        "device": "c",
        "commit": "",
        "torch": "2",
        "seconds": "9",
    }
    return {"cell": cell, "seed": str(seed), **about, **metrics}


def test_rows_are_by_cell_and_seed_and_columns_are_those_of_any(tmp_path: Path) -> None:
    path = tmp_path / "a" / "results.csv"
    for row in (one("b", 10, y="1"), one("b", 9, x="2"), one("a", 0), one("b", 10, y="3")):
        rows.add(path, row)
    found = rows.read(path)
    assert [(row["cell"], row["seed"], row["x"], row["y"]) for row in found] == [
        ("a", "0", "", ""),
        ("b", "9", "2", ""),
        ("b", "10", "", "3"),
    ]
    assert list(found[0]) == [*rows.ABOUT, "x", "y"]


@pytest.mark.parametrize("device", ["cpu", "NVIDIA H100"])
def test_a_run_gives_its_metrics_and_the_last_of_its_log(tmp_path: Path, device: str) -> None:
    metrics = {"s/zero_shot/acc1": 1 / 3, "s/zero_shot/acc1_low": 0.2, "train/seconds": 61.4}
    (tmp_path / "metrics.json").write_text(json.dumps({**metrics, "s/knn/k1": None}))
    about = {
        "device": device,
        "cpu_kind": "AMD",
        "git": {"revision": "0123456789abcdef"},
        "packages": {"torch": "2.6"},
    }
    (tmp_path / "provenance.json").write_text(json.dumps(about))
    (tmp_path / "csv").mkdir()
    log = "step,train/logit_scale,train/total,lr\n1,14.2,4.8,0.1\n2,,,0.2\n3,15.5,4.1,\n"
    (tmp_path / "csv" / "metrics.csv").write_text(log)
    found = rows.row(plan.Run("s", "clip", 2, ("objective=clip", "a=1")), tmp_path)
    assert found == {
        "cell": "clip",
        "seed": "2",
        "overrides": "objective=clip a=1",
        "device": "AMD" if device == "cpu" else device,
        "commit": "0123456789",
        "torch": "2.6",
        "seconds": "61",
        "s/zero_shot/acc1": "0.33333",
        "last/logit_scale": "15.5",
        "last/total": "4.1",
    }


def test_a_run_of_another_study_is_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "HERE", tmp_path)
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "study.yaml").write_text("")
    rows.add(tmp_path / "first" / "results.csv", one("clip", 3, x="5"))
    second = plan.Study("second", {"seeds": [3, 4], "cells": {"base": ["objective=clip"]}})
    assert [rows.finished(second, run) for run in second.runs()] == [True, False]
    (copied,) = rows.read(second.results)
    assert copied == {**one("clip", 3, x="5"), "cell": "base"}
