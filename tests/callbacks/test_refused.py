"""What of Lightning's is refused, before anything is built: one line that says what to do."""

from __future__ import annotations

from typing import Any

import pytest
from lightning.pytorch import callbacks as lightnings

from cyclip_pl.callbacks.ema import EMA
from cyclip_pl.callbacks.refused import check
from tests.docs.pages import names, table

CALLBACKS = {
    "GradientAccumulationScheduler": ({"scheduling": {0: 2}}, "data.batch_size=LARGE microbatch="),
    "StochasticWeightAveraging": ({"swa_lrs": 1e-3}, "callbacks=[default,ema]"),
    "WeightAveraging": ({}, "callbacks=[default,ema]"),
    "EMAWeightAveraging": ({}, "callbacks=[default,ema]"),
    "LearningRateFinder": ({}, "-m optimizer.lr="),
    "BatchSizeFinder": ({}, "set data.batch_size"),
}
SETTINGS: dict[str, tuple[Any, str]] = {
    "val_check_interval": (2, "data.val.every_n_steps"),
    "check_val_every_n_epoch": (2, "evaluation.<name>.cadence.every_n_steps"),
    "limit_val_batches": (2, "evaluation.<name>.cadence.every_n_steps"),
    "overfit_batches": (1, "data.train.shards"),
    "barebones": (True, "logger=[]"),
}


@pytest.mark.parametrize("name", CALLBACKS)
def test_a_callback_that_breaks_a_promise_is_refused(name: str) -> None:
    arguments, remedy = CALLBACKS[name]
    callback = getattr(lightnings, name)(**arguments)
    with pytest.raises(ValueError, match=rf"^callbacks\.x: {name}: ") as caught:
        check({"last": None, "x": callback}, {})
    assert remedy in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_that_would_do_nothing_or_harm_is_refused(name: str) -> None:
    value, remedy = SETTINGS[name]
    with pytest.raises(ValueError, match=rf"^trainer\.{name}={value}: ") as caught:
        check({}, {name: value})
    assert remedy in str(caught.value)
    check({}, {"max_steps": 3})


def test_weights_that_are_not_the_average_are_not_saved_beside_it() -> None:
    weights = lightnings.ModelCheckpoint(save_weights_only=True)
    check({"mine": weights}, {})
    check({"mine": lightnings.ModelCheckpoint(), "ema": EMA()}, {})
    with pytest.raises(ValueError, match=r"^callbacks\.mine\.save_weights_only=true: "):
        check({"mine": weights, "ema": EMA()}, {})


def test_the_page_lists_what_is_refused() -> None:
    rows = table("training.md", "| refused |")
    listed = {name.removeprefix("+trainer.") for row in rows for name in names(row[0])}
    assert listed == {*CALLBACKS, *SETTINGS}
