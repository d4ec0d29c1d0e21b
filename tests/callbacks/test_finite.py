from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from cyclip_pl.callbacks import finite
from cyclip_pl.callbacks.finite import StopWhenNotFinite

NAN = float("nan")


class _Run:
    """Steps of a run that logs every tenth one; each brings its loss and its gradient norm."""

    def __init__(self, callback: StopWhenNotFinite, scaler: object = None) -> None:
        self.callback, self.logged = callback, []
        self.trainer: Any = SimpleNamespace(
            log_every_n_steps=10, global_step=0, precision_plugin=SimpleNamespace(scaler=scaler)
        )
        self.module: Any = SimpleNamespace(log=lambda name, value, **_: self.logged.append(value))
        callback.on_train_start(self.trainer)

    def step(self, loss: float = 1.0, norm: float = 1.0) -> None:
        self.trainer.global_step += 1
        step = self.trainer.global_step
        self.module.observed = (
            ["total", "cross_modal", "gradient_norm"],
            torch.tensor([loss, 0.5, norm]),
        )
        batch = SimpleNamespace(keys=[f"00.tar/{step}_{n}" for n in range(5)])
        self.callback.on_train_batch_end(self.trainer, self.module, None, batch, 0)


def _look(run: _Run, when: str) -> None:
    if when == "logged":
        while run.trainer.global_step % 10:
            run.step()
    elif when == "save":
        run.callback.state_dict()
    else:
        run.callback.on_train_end(run.trainer, run.module)


@pytest.mark.parametrize("when", ["logged", "save", "end"])
@pytest.mark.parametrize(
    ("loss", "norm", "words"),
    [
        (NAN, 1.0, "total is"),
        (1.0, math.inf, "gradient_norm is"),
        (NAN, NAN, "total, gradient_norm are"),
    ],
)
def test_it_names_step_terms_and_samples_when_it_looks(when, loss, norm, words) -> None:
    run = _Run(StopWhenNotFinite())
    for _ in range(2):
        run.step()
    run.step(loss, norm)
    run.step()  # between logged steps nothing is read
    message = (
        rf"^step 3: {words} not finite with the samples 00.tar/3_0, 00.tar/3_1, 00.tar/3_2 and 2"
        r" more; lower optimizer.lr, .* callbacks.finite.skip=10$"
    )
    with pytest.raises(ValueError, match=message):
        _look(run, when)


def test_a_finite_run_goes_on_and_logs_no_count() -> None:
    run = _Run(StopWhenNotFinite())
    for _ in range(25):
        run.step()
    assert run.callback.state_dict() == {"steps": 0}
    assert run.logged == []


def test_it_skips_so_many_and_no_more_also_over_a_resumption() -> None:
    run = _Run(StopWhenNotFinite(skip=3))
    for loss in (NAN, 1.0, NAN):
        run.step(loss)
    _look(run, "logged")
    assert run.logged == [2.0]
    resumed = StopWhenNotFinite(skip=3)
    resumed.load_state_dict(run.callback.state_dict())
    run = _Run(resumed)
    run.step(NAN)
    _look(run, "save")
    run.step(NAN)
    with pytest.raises(ValueError, match=r"^step 2: .* after 3 skipped steps; .*finite.skip=10$"):
        _look(run, "save")


def test_with_float16_only_a_search_for_the_scale_that_does_not_end_counts() -> None:
    run = _Run(StopWhenNotFinite(), scaler=object())
    for _ in range(finite.SCALER_TRIES):
        run.step(norm=math.inf)
    run.step()
    for _ in range(finite.SCALER_TRIES):
        run.step(norm=math.inf)
    _look(run, "save")
    run.step(norm=math.inf)
    with pytest.raises(ValueError, match="^step 82: gradient_norm is not finite"):
        _look(run, "save")
    run = _Run(StopWhenNotFinite(), scaler=object())
    run.step(loss=NAN)
    with pytest.raises(ValueError, match="^step 1: total is not finite"):
        _look(run, "save")


def test_memory_is_bounded_where_logged_steps_are_far_apart(monkeypatch) -> None:
    monkeypatch.setattr(finite, "MOST_UNSEEN", 5)
    run = _Run(StopWhenNotFinite())
    run.trainer.log_every_n_steps = 10**9
    with pytest.raises(ValueError, match="^step 1: "):
        for _ in range(5):
            run.step(NAN)


@pytest.mark.parametrize("skip", [-1, 0.5, True, None])
def test_what_is_not_a_count_is_refused(skip: Any) -> None:
    with pytest.raises(ValueError, match=r"callbacks.finite.skip=.*: must be a whole number of"):
        StopWhenNotFinite(skip)
