from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch.nn.functional import normalize

from cyclip_pl.evaluation.features.store import FeatureStore
from cyclip_pl.evaluation.progress import EvaluationProgress
from cyclip_pl.evaluation.protocols.base import run
from cyclip_pl.evaluation.protocols.linear_probe import LinearProbe
from cyclip_pl.evaluation.protocols.zero_shot import ZeroShot
from cyclip_pl.evaluation.watch import Watch
from tests.helpers.protocols import table, write_sets


class Told(Watch):
    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    def start(self, total: int) -> None:
        self.calls.append(("start", total))

    def begin(self, evaluation: str, dataset: str) -> None:
        self.calls.append(("begin", evaluation, dataset))

    def stage(self, what: str, total: int) -> None:
        self.calls.append((what, total))

    def advance(self, count: int = 1) -> None:
        self.calls.append((count,))

    def close(self) -> None:
        self.calls.append(("close",))


@pytest.fixture
def evaluations(tmp_path: Path) -> list:
    folder = write_sets(tmp_path, [n % 6 for n in range(12)], [n % 6 for n in range(30)])
    sets = [str(folder / "s")]
    return [ZeroShot(sets), LinearProbe(sets, protocols=["lbfgs"], shots=[2], seeds=[0, 1])]


@pytest.fixture
def model():
    generator = torch.Generator().manual_seed(1)
    return table(normalize(torch.randn(42, 4, generator=generator), dim=1), torch.eye(6)[:, :4])


def test_what_is_told(evaluations, model) -> None:
    told = Told()
    run(evaluations, FeatureStore(model, batch_size=8, watch=told))
    assert told.calls[0] == ("start", 2)
    assert told.calls[-1] == ("close",)
    begun = [call[1:] for call in told.calls if call[0] == "begin"]
    assert begun == [("zero_shot", "s"), ("linear_probe", "s")]
    assert ("linear probes", 3) in told.calls
    stages: list[list] = []
    for call in told.calls[1:-1]:
        if isinstance(call[0], int):
            stages[-1][2] += call[0]
        elif call[0] != "begin":
            stages.append([*call, 0])
    expected = [("classes", 6), ("images of s", 12), ("images of s", 30), ("linear probes", 3)]
    assert stages == [[what, total, total] for what, total in expected]


def test_it_is_closed_when_an_evaluation_fails(evaluations, model, monkeypatch) -> None:
    told = Told()
    monkeypatch.setattr(evaluations[1], "_add", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(evaluations, FeatureStore(model, watch=told))
    assert told.calls[-1] == ("close",)


def test_all_sets_are_opened_before_the_first_evaluation_works(tmp_path, evaluations) -> None:
    told = Told()
    with pytest.raises(ValueError, match="no classification set at"):
        run([*evaluations, ZeroShot([str(tmp_path / "none")])], FeatureStore(None, watch=told))
    assert told.calls == []


@pytest.mark.parametrize("terminal", [True, False])
def test_bars_on_a_terminal_and_lines_elsewhere(evaluations, model, terminal: bool) -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=terminal, width=80)
    run(evaluations, FeatureStore(model, watch=EvaluationProgress(console)))
    text = output.getvalue()
    if terminal:
        assert "zero_shot of s" in text and "linear probes" in text and "3/3" in text
    else:
        assert text.splitlines() == ["zero_shot of s (1 of 2)", "linear_probe of s (2 of 2)"]
