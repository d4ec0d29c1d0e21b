from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cyclip_pl.data.epochs import ExactEpochs, ResampledEpochs, Shards
from cyclip_pl.data.position import Drawn, Position, moved, order
from cyclip_pl.data.settings import Shuffle

SHARDS = Shards(("/a/0.tar", "/a/1.tar"), (30, 30))
EPOCHS = ExactEpochs(SHARDS, batch_size=5, shuffle=Shuffle(buffer=9))
HERE = order(EPOCHS, seed=0, ranks=1, workers=2)
STATE = {"epoch": 3, "batch": 5, "drawn": [[(0, 16), (1, 2)]], "order": HERE}


def test_a_reader_without_a_position_begins() -> None:
    assert Position().of(3) == Drawn(0, 0)
    assert Position(4, (Drawn(0, 9), Drawn(1, 2))).of(1) == Drawn(1, 2)


def test_in_the_same_order_all_is_kept() -> None:
    assert moved(STATE, dict(HERE)) == (STATE, "")


@pytest.mark.parametrize(
    "other",
    [
        order(EPOCHS, 1, 1, 2),
        order(EPOCHS, 0, 2, 2),
        order(EPOCHS, 0, 1, 3),
        order(replace(EPOCHS, batch_size=4), 0, 1, 2),
        order(replace(EPOCHS, shuffle=Shuffle(buffer=8)), 0, 1, 2),
        order(replace(EPOCHS, shuffle=Shuffle(shards=False, buffer=9)), 0, 1, 2),
        order(replace(EPOCHS, shards=Shards(("/a/0.tar", "/a/2.tar"), (30, 30))), 0, 1, 2),
        order(replace(EPOCHS, shards=Shards(SHARDS.urls, (30, 31))), 0, 1, 2),
    ],
)
def test_another_order_keeps_the_number_of_samples(other: dict[str, Any]) -> None:
    state, lost = moved(STATE, other)
    seen = state["batch"] * other["processes"] * other["data.batch_size"]
    assert 25 - other["processes"] * other["data.batch_size"] < seen <= 25
    assert state["epoch"] == 3 and len(state["drawn"]) == other["processes"]
    for drawn in state["drawn"]:
        assert len(drawn) == other["data.workers"]
        assert (
            sum(of_worker.samples for of_worker in drawn)
            == state["batch"] * other["data.batch_size"]
        )
    assert lost.startswith("resume: another order") and f"behind {seen} samples" in lost
    assert moved(state, other) == (state, "")


def test_shards_may_be_kept_elsewhere() -> None:
    there = replace(EPOCHS, shards=Shards(("s3://b/0.tar", "s3://b/1.tar"), (30, 30)))
    assert order(there, 0, 1, 2) == HERE


def test_weights_and_lengths_of_resampled_epochs_count() -> None:
    common: dict[str, Any] = {"batch_size": 5, "shuffle": Shuffle()}
    epochs = ResampledEpochs((SHARDS, SHARDS), (1.0, 2.0), 40, **common)
    orders = [
        order(e, 0, 1, 2)
        for e in (
            epochs,
            replace(epochs, weights=(1.0, 3.0)),
            replace(epochs, samples_per_epoch=50),
            replace(epochs, sources=(SHARDS,), weights=(1.0,)),
        )
    ]
    assert len({str(o) for o in orders}) == 4
