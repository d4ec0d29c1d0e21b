from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from cyclip_pl.callbacks.best import Best
from cyclip_pl.callbacks.evaluation import EvaluationCallback
from cyclip_pl.checkpoints.io import CheckpointFiles


class _Trainer:
    is_global_zero = True

    def __init__(self, *evaluations: str) -> None:
        self.callbacks = [EvaluationCallback(dict.fromkeys(evaluations))]
        self.callback_metrics: dict[str, torch.Tensor] = {}
        self.saves = 0

        self.files = CheckpointFiles()
        self.strategy = SimpleNamespace(checkpoint_io=self.files, broadcast=lambda x: x)
        self.full = False

    def save_checkpoint(self, path: Path, weights_only: bool) -> None:
        assert weights_only
        assert path.name == "best.ckpt"
        self.saves += 1
        if self.full:
            self.files.caught.append(OSError("best.ckpt: cannot be written: the disk is full"))

    def measure(self, **metrics: float) -> None:
        self.callback_metrics |= {k: torch.tensor(v) for k, v in metrics.items()}


def _saves(best: Best, values: list[float | None]) -> list[int]:
    """How often `a/b/c` has been saved after each step with these values."""
    trainer = _Trainer("b")
    best.setup(trainer, None, "fit")
    saves = []
    for value in values:
        best.on_train_batch_start(trainer)
        if value is not None:
            trainer.measure(**{"train/total": 1.0, "a/b/c": value, "z/b/c": 2.0})
        best.on_train_batch_end(trainer)
        saves.append(trainer.saves)
    best.on_train_end(trainer)
    return saves


@pytest.mark.parametrize("monitor", ["a/b/c", "b/c"])
def test_only_improvements_are_saved(tmp_path: Path, monitor: str) -> None:
    assert _saves(Best(tmp_path, monitor), [None, 0.1, 0.1, 0.3, 0.2]) == [0, 1, 1, 2, 2]
    assert _saves(Best(tmp_path, monitor, "min"), [0.3, 0.4, 0.2]) == [1, 1, 2]


def test_without_a_monitor_nothing_is_saved(tmp_path: Path) -> None:
    assert _saves(Best(tmp_path, None), [0.3, 0.4]) == [0, 0]


def test_nan_is_never_the_best(tmp_path: Path) -> None:
    nan = float("nan")
    assert _saves(Best(tmp_path, "a/b/c"), [nan, -0.3, nan, 0.1]) == [0, 1, 1, 2]


def test_a_save_that_fails_is_told_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    best, trainer = Best(tmp_path, "b/c"), _Trainer("b")
    trainer.full = True
    trainer.measure(**{"a/b/c": 0.5})
    with caplog.at_level(logging.WARNING):
        best.on_train_batch_end(trainer)
    assert "best.ckpt: cannot be written: the disk is full (a/b/c=0.5)" in caplog.text
    trainer.full = False
    for _ in range(2):
        best.on_train_batch_end(trainer)
    assert trainer.saves == 2


def test_a_resumed_run_knows_the_best_so_far(tmp_path: Path) -> None:
    first = Best(tmp_path, "b/c")
    _saves(first, [0.5])
    first.path.touch()
    for monitor, saves in (("a/b/c", [0, 1]), ("z/b/c", [1, 1])):
        resumed = Best(tmp_path, monitor)
        resumed.load_state_dict(first.state_dict())
        assert _saves(resumed, [0.4, 0.6]) == saves
    # The best of another folder or of the opposite mode is not the best here.
    for other in (Best(tmp_path / "other", "b/c"), Best(tmp_path, "b/c", "min")):
        other.load_state_dict(first.state_dict())
        assert other.best == {}


def test_an_evaluation_that_does_not_run_is_refused_before_the_first_step(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match="evaluation zeroshot does not run; did you mean zero_shot"
    ):
        Best(tmp_path, "a/zeroshot/acc1").setup(_Trainer("zero_shot", "knn"), None, "fit")
    with pytest.raises(ValueError, match=r"monitor=a/knn/acc1: .*this run has none"):
        Best(tmp_path, "a/knn/acc1").setup(_Trainer(), None, "fit")


def test_a_monitor_without_a_set_is_dropped_with_a_word_where_its_evaluation_does_not_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    best, trainer = Best(tmp_path, "zero_shot/acc1"), _Trainer("knn")
    with caplog.at_level(logging.WARNING):
        best.setup(trainer, None, "fit")
    assert "the evaluation zero_shot does not run, so there will be no best.ckpt" in caplog.text
    trainer.measure(**{"a/knn/acc1": 1.0})
    best.on_train_batch_end(trainer)
    best.on_train_end(trainer)
    assert trainer.saves == 0


@pytest.mark.parametrize("monitor", ["b/d", "a/b/d"])
def test_a_metric_that_the_evaluation_does_not_give_is_refused_once_it_has_run(
    tmp_path: Path, monitor: str
) -> None:
    best, trainer = Best(tmp_path, monitor), _Trainer("b", "other")
    best.setup(trainer, None, "fit")
    trainer.measure(**{"a/other/c": 1.0})
    best.on_train_batch_end(trainer)
    best.on_train_batch_start(trainer)  # `b` has a cadence of its own: not yet
    trainer.measure(**{"a/b/c": 1.0, "z/b/c": 1.0})
    best.on_train_batch_end(trainer)  # the last step may be over: `Last` saves first
    names = "a/b/c" if monitor == "a/b/d" else "a/b/c, z/b/c"
    for hook in (best.on_train_batch_start, best.on_train_end):
        with pytest.raises(ValueError, match=rf"b gives no such metric.* \(it has {names}\)$"):
            hook(trainer)


@pytest.mark.parametrize("monitor", ["acc1", "a/b/c/d"])
def test_what_cannot_name_a_metric_is_refused(tmp_path: Path, monitor: str) -> None:
    with pytest.raises(ValueError, match=f"callbacks.best.monitor={monitor}: must be \\[<set>/\\]"):
        Best(tmp_path, monitor)


def test_an_unknown_mode_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="callbacks.best.mode=maximum: must be one of max, min"):
        Best(tmp_path, "a/b/c", "maximum")
