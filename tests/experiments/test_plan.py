"""study.yaml of every study."""

from __future__ import annotations

from pathlib import Path

import pytest
from studies import plan
from studies.plan import Study

from tests.helpers.composed import composed


def study(**settings: object) -> Study:
    return Study("some", {"seeds": [0, 1], **settings})


def test_commas_make_a_cell_per_value() -> None:
    cells = {"one": ["a=1"], "grid": ["b=0,0.5", "c=x", "d=1,2"]}
    runs = study(overrides=["e=3"], cells=cells).runs()
    names = ["one", *(f"grid {b} {d}" for b in (0, 0.5) for d in (1, 2))]
    assert [(run.seed, run.cell) for run in runs] == [(s, n) for s in (0, 1) for n in names]
    assert runs[2].overrides == ("e=3", "b=0", "c=x", "d=2")


def test_brackets_and_quotes_are_one_value() -> None:
    overrides = ["a=[1,2]", "b='x/{00..03}.tar'", "c=${d}"]
    (run, _) = study(cells={"one": overrides}).runs()
    assert run.overrides == tuple(overrides) and run.cell == "one"


def test_a_cell_may_have_its_own_seeds_and_a_command_may_choose() -> None:
    one = study(cells={"a": {"seeds": [5], "overrides": ["x=1"]}, "b": ["x=2"]})
    assert [(run.cell, run.seed) for run in one.runs()] == [("b", 0), ("b", 1), ("a", 5)]
    assert [(run.cell, run.seed) for run in one.runs([7], ["b"])] == [("b", 7)]
    with pytest.raises(ValueError, match="study some has no cell named c$"):
        one.runs(cells=["b", "c"])


def test_equal_runs_of_two_studies_have_one_key() -> None:
    a = Study("a", {"seeds": [0], "cells": {"x": ["b=1", "a=2"]}}).runs()[0]
    b = Study("b", {"seeds": [0], "overrides": ["a=2"], "cells": {"y": ["b=1"]}}).runs()[0]
    assert a.key == b.key and a.name != b.name


def test_a_run_may_start_from_another_of_its_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "RUNS", tmp_path)
    cells = {"base": ["a=1"], "tuned": ["b=@base@", "c=2"]}
    base, tuned, *others = study(cells=cells).runs()
    assert tuned.overrides == (f"b={base.export}", "c=2")
    assert tuned.starts_from(base) and not tuned.starts_from(others[0])
    plan.hand_over([tuned, base, *others])
    assert plan.handed == [[base, others[0]], [tuned, others[1]]]
    # A row does not bring the weights to another machine.
    assert plan.lost([base, tuned], [tuned]) == [base]
    base.export.mkdir(parents=True)
    assert plan.lost([base, tuned], [tuned]) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", plan.names())
def test_every_cell_of_a_study_composes(name: str) -> None:
    found = plan.read(name)
    runs = found.runs([0])
    assert len({run.key for run in runs}) == len(runs), "two cells are the same run"
    for run in runs:
        config = composed(*run.job)
        assert config.seed == 0 and set(config.evaluation) >= set(run.protocols)
        assert found.run_of(plan.RUNS / run.name) == run
