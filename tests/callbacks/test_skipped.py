"""Counts of lost samples, without a trainer and over two ranks."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from cyclip_pl.callbacks.skipped import Skipped
from cyclip_pl.distributed import rank, world_size
from cyclip_pl.training import train
from cyclip_pl.types import Batch
from tests.helpers.composed import composed
from tests.helpers.distributed import run_distributed
from tests.helpers.world import shrunk


class Run:
    """What the callback asks of its trainer and its module."""

    log_every_n_steps = 2
    num_training_batches = 10

    def __init__(self, callback: Skipped) -> None:
        self.callback = callback
        self.global_step = 0
        self.world_size = world_size()
        self.is_global_zero = rank() == 0
        self.logged: list[tuple[str, float]] = []

    def log(self, name: str, value: float, **_: Any) -> None:
        self.logged.append((name, value))

    def step(self, **skipped: int) -> None:
        """A step of ten samples on each rank."""
        self.global_step += 1
        counts = {cause.replace("_", " "): count for cause, count in skipped.items()}
        shards = {cause: [f"{rank()}.tar"] for cause in counts}
        batch = Batch(torch.zeros(1, 10, 3, 1, 1), torch.zeros(1, 10, 1), None, counts, shards)
        self.callback.on_train_batch_end(self, self, None, batch, 0)  # type: ignore[arg-type]

    def end(self) -> None:
        self.callback.on_train_epoch_end(self, self)  # type: ignore[arg-type]
        self.callback.on_train_end(self, self)  # type: ignore[arg-type]


def test_counts_by_cause(caplog) -> None:
    run = Run(Skipped())
    run.step(cut_shard=2)
    run.step()
    run.step(cut_shard=1, missing_image=1)
    assert run.logged == [("data/skipped", 2.0)]
    run.end()
    assert run.callback.metrics == {
        "train/skipped": 4.0,
        "train/skipped/cut_shard": 3.0,
        "train/skipped/missing_image": 1.0,
    }
    assert [record.getMessage() for record in caplog.records] == [
        "skipped 4 of 34 samples: cut shard 3 (in 0.tar), missing image 1 (in 0.tar)"
    ]


def test_nothing_lost_is_a_number_and_no_line(caplog) -> None:
    run = Run(Skipped(0.0))
    run.step()
    run.end()
    assert run.callback.metrics == {"train/skipped": 0.0} and not caplog.records


def test_a_resumed_run_counts_on() -> None:
    first, second = Run(Skipped()), Run(Skipped())
    first.step(cut_shard=2)
    second.callback.load_state_dict(first.callback.state_dict())
    second.step(cut_shard=1)
    second.end()
    assert second.callback.counts == {"cut shard": 3} and second.callback.samples == 20
    assert first.callback.counts == {"cut shard": 2}


def test_more_than_the_share_of_an_epoch_stops_the_run() -> None:
    run = Run(Skipped(0.05))  # of 100 samples
    run.step(cut_shard=5)
    run.step()
    run.step(missing_image=1)
    with pytest.raises(ValueError, match=r"^data.max_skipped=0.05: skipped 6 of 46 samples: ") as e:
        run.step()
    assert "cut shard 5 (in 0.tar), missing image 1 (in 0.tar); mend" in str(e.value)


def test_an_end_between_logged_steps_is_checked_too() -> None:
    run = Run(Skipped(0.05))
    run.step(cut_shard=6)
    with pytest.raises(ValueError, match=r"data.max_skipped=0.05"):
        run.end()


def test_of_long_runs_it_is_the_share_so_far() -> None:
    run = Run(Skipped(0.05))
    for _ in range(40):
        run.step()
    run.step(cut_shard=20)
    run.step()
    assert run.callback.counts == {"cut shard": 20}


def test_one_bad_shard_of_a_long_epoch_does_not_stop_it() -> None:
    run = Run(Skipped(0.05))
    run.num_training_batches = 10**7
    run.step(cut_shard=9_999)
    run.step()
    assert run.callback.counts == {"cut shard": 9_999}


def test_without_a_limit_a_line_tells_once_what_one_would_do(caplog) -> None:
    run = Run(Skipped())
    for _ in range(6):
        run.step(cut_shard=6)
    (record,) = caplog.records
    assert record.getMessage() == (
        "skipped 12 of 32 samples: cut shard 12 (in 0.tar); data.max_skipped=0.05 would stop here"
    )


def _of_two_ranks() -> tuple[list[Any], dict[str, float], Any, str]:
    run = Run(Skipped(0.5))
    run.step(**({"missing_image": 5} if rank() == 1 else {"cut_shard": 1}))
    run.step()
    logged = list(run.logged)
    run.step(**({"missing_image": 90} if rank() == 1 else {}))
    state = run.callback.state_dict()
    try:
        run.step(**({"missing_image": 90} if rank() == 1 else {}))
    except ValueError as error:
        return logged, run.callback.metrics, state, str(error)
    return logged, run.callback.metrics, state, ""


@pytest.mark.slow
def test_counts_are_sums_over_ranks_and_all_stop_together() -> None:
    first, second = run_distributed(_of_two_ranks, 2)
    assert first == second
    logged, metrics, state, error = first
    assert logged == [("data/skipped", 6.0)]
    assert metrics["train/skipped/missing_image"] == 185.0
    assert state["samples"] == 60 and state["counts"] == {"missing image": 95, "cut shard": 1}
    assert "data.max_skipped=0.5: skipped 186 of 266 samples: missing image 185 (in 1.tar)" in error


@pytest.mark.slow
def test_a_cut_shard_is_in_the_metrics_of_a_run_and_of_the_resumed_one(
    world: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shards = tmp_path / "shards"
    shutil.copytree(world / "train", shards)  # four shards of 24 samples, and their sizes.json
    whole = (shards / "00002.tar").read_bytes()
    (shards / "00002.tar").write_bytes(whole[: len(whole) // 1024 * 512])
    settings = [s for s in shrunk(world) if not s.startswith("evaluation.")]
    settings += [f"data.train.shards={shards}", "evaluation=[]", "callbacks.best.monitor=null"]
    metrics = train(composed(*settings, run_dir=tmp_path / "run"))
    lost = metrics["train/skipped"]
    assert 8 <= lost <= 16 and metrics["train/skipped/cut_shard"] == lost
    texts = [record.getMessage() for record in caplog.records]
    assert any(f"{int(lost)} samples in {shards}/00002.tar: cut at byte" in t for t in texts)
    assert f"skipped {int(lost)} of {96 + int(lost)} samples: cut shard" in texts[-1]
    more = [*settings, "trainer.max_steps=8", "resume=auto"]
    assert train(composed(*more, run_dir=tmp_path / "run"))["train/skipped"] == 2 * lost
    limited = [*settings, "data.max_skipped=0.05"]
    with pytest.raises(ValueError, match="data.max_skipped=0.05: skipped .* cut shard .*00002.tar"):
        train(composed(*limited, run_dir=tmp_path / "limited"))
