"""A run ends when its metric no longer improves, and ends as any other run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping

from cyclip_pl.callbacks.early_stopping import EarlyStop
from cyclip_pl.callbacks.evaluation import EvaluationCallback
from cyclip_pl.callbacks.last import Last
from cyclip_pl.callbacks.validation import Validation
from cyclip_pl.data.settings import ValSource
from cyclip_pl.training import train
from tests.helpers.cheap import cheap
from tests.helpers.composed import composed


class _Trainer:
    """One rank's; `other` is what the other rank decides."""

    is_global_zero = True
    fast_dev_run = False
    log_every_n_steps = 2

    def __init__(self, *evaluations: str, val: str | None = "held", other: bool = False) -> None:
        self.validation = Validation(ValSource(val))
        self.callbacks: list[Any] = [
            EvaluationCallback(dict.fromkeys(evaluations)),
            self.validation,
        ]
        self.callback_metrics: dict[str, torch.Tensor] = {}
        self.global_step = 0
        self.should_stop = False
        self.strategy = SimpleNamespace(reduce_boolean_decision=lambda mine, all: mine or other)

    def step(self, stop: EarlyStop, *values: float | None) -> list[int]:
        """Steps with these values of `val/total`, None where it is not measured; the stops."""
        stops = []
        for value in values:
            self.global_step += 1
            self.should_stop = False
            if value is not None:
                self.callback_metrics["val/total"] = torch.tensor(value)
                self.validation.step_of["val/total"] = self.global_step
            self.callback_metrics["train/total"] = torch.tensor(1.0)
            stop.on_train_batch_start(self)
            stop.on_train_batch_end(self)
            stop.on_train_epoch_end(self, None)  # the same step: not another look
            if self.should_stop:
                stops.append(self.global_step)
        return stops


def _stop(monitor: str = "val/total", **settings: Any) -> EarlyStop:
    return EarlyStop(monitor, **{"patience": 2, **settings})


def test_it_looks_only_where_the_metric_is_new(capsys: pytest.CaptureFixture[str]) -> None:
    trainer = _Trainer()
    trainer.callbacks.append(Last.__new__(Last))
    values = [None, 3.0, None, None, 2.0, 2.0, None, None, None, 1.0, 1.5, None, 1.25, None, 1.0]
    assert trainer.step(_stop(), *values) == [13, 15]
    assert capsys.readouterr().out.splitlines()[0] == (
        "early stopping: val/total has not improved for 2 looks (now 1.25, best 1); the run ends at"
        " step 13; last.ckpt has its weights"
    )


@pytest.mark.parametrize(
    ("settings", "values", "stops"),
    [
        ({"mode": "max"}, [1.0, 2.0, 2.0, 3.0, 2.0, 2.5], [6]),
        ({"min_delta": 0.5}, [3.0, 2.75, 2.6], [3]),
        ({"min_delta": 0.5}, [3.0, 2.75, 2.25, 2.0, 1.5], []),
        ({"min_delta": 0.5, "mode": "max"}, [1.0, 1.25, 1.5], [3]),
        ({"patience": 1}, [1.0, 1.0], [2]),
        ({}, [1.0, float("nan")], [2]),
    ],
)
def test_what_an_improvement_is(settings: dict[str, Any], values: list[float], stops: Any) -> None:
    assert _Trainer().step(_stop(**settings), *values) == stops


def test_all_ranks_end_where_one_does() -> None:
    assert _Trainer(other=True).step(_stop(), 3.0, None, 2.0) == [1, 3]


def test_a_metric_of_the_steps_is_looked_at_where_it_is_logged() -> None:
    trainer = _Trainer(val=None)
    assert trainer.step(_stop("train/total"), *[None] * 7) == [6]


def test_the_state_goes_on_but_the_patience_is_what_was_typed() -> None:
    first = _stop()
    _Trainer().step(first, 1.0, 2.0)
    again = _stop(patience=3)
    again.load_state_dict(first.state_dict())
    assert _Trainer().step(again, None, None, 2.0, 2.0, 0.5, 2.0) == [4]
    # Beside Lightning's own of the same metric, as two states.
    assert again.state_key != EarlyStopping("val/total", mode="min").state_key


def test_a_metric_that_cannot_come_is_one_line() -> None:
    for monitor, line in (
        ("knn/acc1", r"the evaluation knn does not run \(this run has zero_shot, val\)$"),
        ("a/zeroshot/acc1", r"does not run; did you mean zero_shot\?"),
    ):
        with pytest.raises(
            ValueError, match=rf"^callbacks.early_stopping.monitor={monitor}: "
        ) as e:
            _stop(monitor).setup(_Trainer("zero_shot"), None, "fit")
        assert e.match(line)
    with pytest.raises(ValueError, match="the run has no validation loss; set data.val.shards$"):
        _stop().setup(_Trainer(val=None), None, "fit")
    with pytest.raises(ValueError, match=r"val gives no such metric.*\(it has val/total\)$"):
        _Trainer().step(_stop("val/toal"), 1.0, 1.0)
    trainer, stop = _Trainer("knn"), _stop("knn/acc1")
    trainer.step(stop, 1.0)
    with pytest.raises(ValueError, match="never came; the run has val/total, train/total$"):
        stop.on_fit_end(trainer, None)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"monitor": "loss"}, r"monitor=loss: must be \[<set>/\]<evaluation>/<metric>"),
        ({"mode": "least"}, "mode=least: must be one of min, max"),
        ({"patience": 0}, "patience=0: must be a whole number of at least 1"),
        ({"min_delta": -1}, "min_delta=-1: must be a number at least 0"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], line: str) -> None:
    with pytest.raises(ValueError, match=rf"^callbacks\.early_stopping\.{line}"):
        _stop(**settings)


@pytest.mark.slow
def test_a_whole_run_ends_inside_an_epoch_and_goes_on_with_more_patience(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(world / "train", tmp_path / "held")
    settings = [
        *cheap(world, 8),
        "evaluation=[zero_shot]",
        f"evaluation.zero_shot.datasets=[{world}/shapes]",
        "evaluation.zero_shot.cadence.every_n_steps=null",
        f"data.val.shards={tmp_path}/held",
        "data.val.batch_size=24",
        "data.val.every_n_steps=2",
        "callbacks=[default,early_stopping]",
        "callbacks.early_stopping.min_delta=1000",
        "optimizer.lr=0.01",
    ]

    def run(folder: str, *more: str) -> dict[str, float]:
        return train(composed(*settings, *more, "resume=auto", run_dir=tmp_path / folder))

    # The first look is the best one; then patience in looks, not in epochs of four steps.
    metrics = run("run", "callbacks.early_stopping.patience=2")
    assert metrics["train/steps"] == 6
    assert {"shapes/zero_shot/acc1", "val/total"} <= metrics.keys()
    assert "the run ends at step 6; last.ckpt has its weights" in capsys.readouterr().out
    # Given again, the command makes no step.
    again = run("run", "callbacks.early_stopping.patience=2")
    assert {k: v for k, v in again.items() if k != "train/seconds"} == {
        k: v for k, v in metrics.items() if k != "train/seconds"
    }
    assert "patience=2: val/total had not improved for 2 looks" in capsys.readouterr().out
    assert run("run", "callbacks.early_stopping.patience=9")["train/steps"] == 8
    whole = run("whole", "callbacks.early_stopping.patience=9")
    assert whole == json.loads((tmp_path / "whole/metrics.json").read_text())
    weights = [
        torch.load(tmp_path / name / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for name in ("run", "whole")
    ]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
