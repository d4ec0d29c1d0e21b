"""Worker processes: exact epochs, order, errors."""

from __future__ import annotations

import multiprocessing
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from cyclip_pl.data.loader import BatchLoader
from cyclip_pl.data.position import Position
from tests.data.shards import data_module, epoch_of, numbers, trainer_at, write_shards, write_tar

pytestmark = pytest.mark.slow

SIZES = [9, 4, 6, 11, 3, 8, 5, 7]  # 53


def loader(folder: Path, **settings: Any) -> BatchLoader:
    module = data_module(folder, **settings)
    module.setup("fit")
    return module.train_dataloader()


def orders(batches: Any) -> list[list[int]]:
    return [numbers(batch) for batch in batches]


@pytest.mark.parametrize(("ranks", "workers"), [(1, 0), (1, 1), (1, 3), (2, 2), (3, 1), (4, 2)])
def test_exact_epochs(tmp_path: Path, ranks: int, workers: int) -> None:
    write_shards(tmp_path, SIZES)
    for epoch in (0, 3):
        found: list[int] = []
        for rank in range(ranks):
            settings = {"rank": rank, "ranks": ranks, "workers": workers, "epoch": epoch}
            batches = epoch_of(tmp_path, batch_size=3, **settings)
            assert [len(batch) for batch in batches] == [3] * (53 // ranks // 3)
            found += [n for batch in batches for n in numbers(batch)]
        # No sample twice, and no more left out than the incomplete last batches.
        assert len(set(found)) == len(found) > 53 - ranks * 3


def set_epoch(batches: BatchLoader, epoch: int) -> None:
    batches._epoch = lambda: epoch


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_each_epoch_is_its_own_however_it_is_reached(tmp_path: Path, workers: int) -> None:
    write_shards(tmp_path, SIZES)
    # 17 batches on 3 workers: the turns shift with each epoch.
    settings: dict[str, Any] = {"batch_size": 3, "workers": workers}
    expected = [orders(epoch_of(tmp_path, epoch=epoch, **settings)) for epoch in range(4)]
    assert len({str(order) for order in expected}) == 4

    through = loader(tmp_path, **settings)
    assert len(through) == 17
    for epoch in range(3):
        set_epoch(through, epoch)
        assert orders(through) == expected[epoch]
    # Left early, taken from elsewhere, repeated.
    set_epoch(through, 3)
    assert orders(islice(iter(through), 5)) == expected[3][:5]
    for epoch in (0, 0, 3):
        set_epoch(through, epoch)
        assert orders(through) == expected[epoch]


def test_an_epoch_is_complete_for_one_who_stops_at_its_length(tmp_path: Path) -> None:
    write_shards(tmp_path, SIZES)
    batches = loader(tmp_path, batch_size=3)
    set_epoch(batches, 0)
    list(islice(iter(batches), len(batches)))
    running = batches._items
    set_epoch(batches, 1)
    assert orders(batches) == orders(epoch_of(tmp_path, batch_size=3, epoch=1))
    assert batches._items is running  # read on, not begun again


def test_one_seed_is_one_run(tmp_path: Path) -> None:
    write_shards(tmp_path, SIZES)
    first, again, other = (
        epoch_of(tmp_path, workers=2, batch_size=3, seed=seed) for seed in (1, 1, 2)
    )
    assert orders(first) == orders(again) != orders(other)
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a.images, b.images)


def test_resampled_epochs_have_their_length(tmp_path: Path) -> None:
    write_shards(tmp_path, [5, 5])
    settings: dict[str, Any] = {"resampled": True, "samples_per_epoch": 50, "workers": 2}
    first, second = (epoch_of(tmp_path, rank=rank, ranks=2, **settings) for rank in (0, 1))
    assert len(first) == len(second) == 50 // 2 // 4
    assert orders(first) != orders(second)
    assert len(epoch_of(tmp_path, resampled=True)) == 10 // 4


def test_waiting_is_counted(tmp_path: Path, monkeypatch) -> None:
    write_shards(tmp_path, [8])
    clock = iter(range(100))
    monkeypatch.setattr("cyclip_pl.data.loader.time.perf_counter", lambda: next(clock))
    batches = loader(tmp_path)
    list(batches)
    assert batches.seconds_waited == 2  # two batches, a tick each


def test_more_workers_than_batches(tmp_path: Path) -> None:
    write_shards(tmp_path, [3] * 4)
    batches = loader(tmp_path, batch_size=6, workers=4)
    for epoch in range(3):
        set_epoch(batches, epoch)
        assert orders(batches) == orders(epoch_of(tmp_path, batch_size=6, workers=4, epoch=epoch))


def test_closing_ends_the_workers_and_not_the_loader(tmp_path: Path) -> None:
    write_shards(tmp_path, SIZES)
    module = data_module(tmp_path, batch_size=3, workers=2)
    module.setup("fit")
    batches = module.train_dataloader()
    first = orders(batches)
    children = multiprocessing.active_children()
    assert len(children) == 2
    module.teardown("fit")
    assert not multiprocessing.active_children()
    assert orders(batches) == first
    batches.close()


@pytest.mark.parametrize("workers", [0, 2])
def test_errors_come_as_one_line(tmp_path: Path, workers: int) -> None:
    for shard in "ab":
        write_tar(tmp_path / f"{shard}.tar", {f"{n}": {"txt": b"image 1"} for n in range(9)})
    with pytest.raises(ValueError, match="^data.train.shards: no usable sample.*$") as caught:
        epoch_of(tmp_path, workers=workers)
    assert "\n" not in str(caught.value)


def test_counts_travel(tmp_path: Path) -> None:
    write_shards(tmp_path, [6, 6])
    write_tar(tmp_path / "00002.tar", {f"{n}": {"txt": b"image"} for n in range(3)})
    batches = epoch_of(tmp_path, workers=1)
    assert sum(batch.skipped.get("missing image", 0) for batch in batches) == 3


def test_spawned_workers(tmp_path: Path) -> None:
    write_shards(tmp_path, [6, 6])
    batches = loader(tmp_path).batches
    spawned = DataLoader(batches, batch_size=None, num_workers=1, multiprocessing_context="spawn")
    batches.start.fill_(2)
    assert orders(islice(spawned, 3)) == orders(epoch_of(tmp_path, epoch=2))


def test_settings_reach_the_loader(tmp_path: Path, monkeypatch) -> None:
    write_shards(tmp_path, [6, 6])
    seen: dict[str, Any] = {}
    monkeypatch.setattr(
        "cyclip_pl.data.loader.DataLoader", lambda batches, **settings: seen.update(settings) or []
    )
    for gpu, workers in ((True, 2), (False, 0)):
        monkeypatch.setattr(torch.cuda, "is_available", lambda gpu=gpu: gpu)
        loader(tmp_path, workers=workers, prefetch=5)._start(0, Position())
        assert seen["pin_memory"] is gpu and seen["num_workers"] == workers
        assert seen["prefetch_factor"] == (5 if workers else None)
        assert seen["persistent_workers"] == (workers > 0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    loader(tmp_path, pin_memory=False)._start(0, Position())
    assert seen["pin_memory"] is False


def test_the_models_random_numbers_are_left_alone(tmp_path: Path) -> None:
    write_shards(tmp_path, [6, 6])
    torch.manual_seed(0)
    expected = torch.rand(3)
    for workers in (0, 2):
        torch.manual_seed(0)
        epoch_of(tmp_path, workers=workers)
        assert torch.equal(torch.rand(3), expected)


def test_the_trainer_gives_the_epoch(tmp_path: Path) -> None:
    write_shards(tmp_path, SIZES)
    module = data_module(tmp_path)
    module.setup("fit")
    batches = module.train_dataloader()
    for epoch in (0, 1, 5):
        module.trainer = trainer_at(epoch)
        assert orders(batches) == orders(epoch_of(tmp_path, epoch=epoch))
