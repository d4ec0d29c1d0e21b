from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from cyclip_pl.callbacks.last import Last
from cyclip_pl.checkpoints.files import checkpoint_file, step_of
from cyclip_pl.checkpoints.places import folder
from tests.helpers.saving import SavingTrainer


def _steps(trainer: SavingTrainer, last: Last, stop: int) -> None:
    while trainer.global_step < stop:
        trainer.global_step += 1
        last.on_train_batch_end(trainer)


def _there(place: Path | str) -> dict[str, int | None]:
    here = folder(place)
    return {name: step_of(here.at(name)) for name in sorted(here.names())}


@pytest.fixture(params=["local", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path) if request.param == "local" else f"memory://{uuid4()}"


def test_every_so_many_steps_and_once_at_the_end(place: str) -> None:
    trainer, last = SavingTrainer(), Last(place, every_n_steps=2)
    _steps(trainer, last, 5)
    last.on_train_end(trainer, None)
    last.on_train_end(trainer, None)
    assert trainer.saves == [2, 4, 5]
    assert _there(place) == {"last.ckpt": 5, "step_4.ckpt": 4}


@pytest.mark.parametrize(("keep", "earlier"), [(1, []), (2, [8]), (3, [6, 8]), (9, [2, 4, 6, 8])])
def test_so_many_stay(place: str, keep: int, earlier: list[int]) -> None:
    trainer, last = SavingTrainer(), Last(place, every_n_steps=2, keep=keep)
    _steps(trainer, last, 10)
    assert _there(place) == {"last.ckpt": 10} | {f"step_{n}.ckpt": n for n in earlier}
    # A resumed run with another number.
    again = Last(place, every_n_steps=2, keep=2)
    _steps(trainer, again, 12)
    assert _there(place) == {"last.ckpt": 12, "step_10.ckpt": 10}


def test_a_run_that_goes_on_from_an_earlier_step_drops_what_came_after(place: str) -> None:
    trainer, last = SavingTrainer(), Last(place, every_n_steps=10, keep=3)
    _steps(trainer, last, 40)
    trainer.global_step = 20
    _steps(trainer, Last(place, every_n_steps=5, keep=3), 25)
    assert _there(place) == {"last.ckpt": 25, "step_20.ckpt": 20}


def test_a_damaged_last_checkpoint_does_not_push_out_the_whole_one_before(tmp_path: Path) -> None:
    trainer, last = SavingTrainer(), Last(tmp_path, every_n_steps=10)
    _steps(trainer, last, 20)
    whole = (tmp_path / "last.ckpt").read_bytes()
    (tmp_path / "last.ckpt").unlink()
    (tmp_path / "last.ckpt").write_bytes(whole[:-9])
    _steps(trainer, Last(tmp_path, every_n_steps=10), 30)
    assert _there(tmp_path) == {"last.ckpt": 30, "step_10.ckpt": 10}


def test_at_every_moment_a_whole_checkpoint_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a `kill -9` would find the folder: looked at whenever a file is linked, moved, removed."""
    trainer, last = SavingTrainer(), Last(tmp_path, every_n_steps=1, keep=2)
    _steps(trainer, last, 1)
    found: list[int | None] = []

    def watched(original: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            found.append(step_of(checkpoint_file(tmp_path)))
            try:
                return original(*args, **kwargs)
            finally:
                found.append(step_of(checkpoint_file(tmp_path)))

        return call

    for owner, name in (("os", "link"), ("pathlib.Path", "replace"), ("pathlib.Path", "unlink")):
        parts = owner.split(".")
        target = getattr(__import__(parts[0]), parts[1]) if len(parts) > 1 else __import__(owner)
        monkeypatch.setattr(target, name, watched(getattr(target, name)))
    _steps(trainer, last, 4)
    assert set(found) == {1, 2, 3, 4} and found == sorted(found)


def test_by_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    for ranks, saves in ((1, [4, 8, 21]), (2, [10, 30])):
        trainer = SavingTrainer(ranks)
        last = Last(tmp_path / str(ranks), every_n_steps=None, every_n_minutes=1.5)
        last.on_train_start()
        for trainer.global_step in range(1, 31):
            now += 100 if trainer.global_step == 21 else 25 if trainer.global_step < 10 else 0
            last.on_train_batch_end(trainer)
        assert trainer.saves == saves
    assert _there(tmp_path / "2") == {"last.ckpt": 30, "step_10.ckpt": 10}


def test_with_no_cadence_it_saves_at_the_end(tmp_path: Path) -> None:
    trainer, last = SavingTrainer(), Last(tmp_path, every_n_steps=None)
    _steps(trainer, last, 50)
    last.on_train_end(trainer)
    assert trainer.saves == [50]


def test_a_save_that_fails_is_told_tried_again_and_at_the_end_an_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trainer, last = SavingTrainer(), Last(tmp_path, every_n_steps=2)
    _steps(trainer, last, 2)
    trainer.full = True
    with caplog.at_level(logging.WARNING):
        _steps(trainer, last, 4)
    words = f"{tmp_path}/last.ckpt: cannot be written: the disk is full (step {{}}; that of step 2"
    assert words.format(4) in caplog.text
    with pytest.raises(ValueError, match=r"the disk is full \(step 4; that of step 2 stands\)"):
        last.on_train_end(trainer)
    trainer.full = False
    _steps(trainer, last, 6)
    assert trainer.saves == [2, 4, 4, 6]
    assert _there(tmp_path) == {"last.ckpt": 6, "step_2.ckpt": 2}


def test_weights_that_are_not_finite_are_not_saved(tmp_path: Path) -> None:
    trainer, last = SavingTrainer(), Last(tmp_path, every_n_steps=2)
    _steps(trainer, last, 2)
    trainer.weight = float("nan")
    with pytest.raises(ValueError, match="state_dict.w is not finite at step 4"):
        _steps(trainer, last, 4)
    assert step_of(tmp_path / "last.ckpt") == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"every_n_steps": 0}, "every_n_steps=0: must be null or a whole number of at least 1"),
        ({"every_n_steps": 5, "every_n_minutes": 0}, "every_n_minutes=0: must be null or a number"),
        ({"every_n_steps": 5, "keep": 0}, "keep=0: must be a whole number of at least 1"),
    ],
)
def test_what_is_no_cadence_is_refused(tmp_path: Path, settings: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"callbacks.last.{message}"):
        Last(tmp_path, **settings)


def test_a_url_that_nothing_opens_is_refused() -> None:
    with pytest.raises(ValueError, match="^callbacks.last.dirpath=nowhere://x: cannot be opened"):
        Last("nowhere://x", every_n_steps=5)


def test_shards_are_refused_where_no_rank_has_any_and_behind_a_url(tmp_path: Path) -> None:
    last = Last(tmp_path, every_n_steps=5, sharded=True)
    with pytest.raises(ValueError, match=r"^callbacks\.last\.sharded=true: .*set trainer=fsdp, or"):
        last.setup(SavingTrainer(), None, "fit")
    with pytest.raises(ValueError, match="^callbacks.last.sharded=true: dirpath=memory://x is a U"):
        Last("memory://x", every_n_steps=5, sharded=True)


def test_a_folder_that_cannot_be_written_is_refused_before_the_first_step(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        ValueError, match=f"^callbacks.last.dirpath={tmp_path}/file/x: cannot be wr"
    ):
        Last(tmp_path / "file" / "x", every_n_steps=5).setup(SavingTrainer(), None, "fit")
    with pytest.raises(ValueError, match="^callbacks.last.dirpath=http://localhost:9/x: cannot be"):
        Last("http://localhost:9/x", every_n_steps=5).setup(SavingTrainer(), None, "fit")


def test_a_folder_that_can_be_written_stays_as_it_was(place: str) -> None:
    Last(place, every_n_steps=5).setup(SavingTrainer(), None, "fit")
    assert folder(place).names() == []
