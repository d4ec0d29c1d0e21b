"""Orders, without decoding. Readers are simulated: `Reader` says who one is."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from cyclip_pl.data.epochs import ExactEpochs, NothingToRead, Reader, ResampledEpochs, Shards
from cyclip_pl.data.settings import Shuffle
from cyclip_pl.data.shard_reader import RawSample, ShardReader
from cyclip_pl.data.skipped import SkipCounter
from tests.data.shards import sample, write_shards, write_tar


def shards(folder: Path, sizes: list[int | None]) -> Shards:
    urls = tuple(str(folder / f"{i:05d}.tar") for i in range(len(sizes)))
    return Shards(urls, tuple(sizes))


def number(raw: RawSample) -> int:
    return int(raw.texts["txt"].split()[-1])


class Exact:
    """Exact epochs over small shards."""

    def __init__(self, folder: Path, sizes: list[int], **settings: object) -> None:
        write_shards(folder, sizes)
        self.epochs = ExactEpochs(
            shards(folder, list(sizes)),
            batch_size=2,
            shuffle=Shuffle(**settings),  # type: ignore[arg-type]
        )

    def read(self, reader: Reader, turn: int = 0, skipped: SkipCounter | None = None) -> list[int]:
        epochs = self.epochs.samples(reader, turn, ShardReader(("txt",)), skipped or SkipCounter())
        return [number(raw) for raw in epochs]


SIZES = [7, 3, 0, 5, 11, 2]


@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_every_sample_has_one_reader(tmp_path: Path, ranks: int, workers: int) -> None:
    exact = Exact(tmp_path, SIZES)
    for epoch in range(2):
        found: list[int] = []
        for rank in range(ranks):
            for worker in range(workers):
                found += exact.read(Reader(5, epoch, rank, ranks, worker, workers))
        assert sorted(found) == list(range(sum(SIZES)))


def test_orders_follow_from_seed_and_epoch(tmp_path: Path) -> None:
    exact = Exact(tmp_path, SIZES)
    first = exact.read(Reader(seed=5, epoch=0))
    assert exact.read(Reader(seed=5, epoch=0)) == first
    others = [Reader(6, 0), Reader(5, 1)]
    assert all(exact.read(other) != first for other in others)
    assert exact.read(Reader(5, 0), turn=1) != first


def test_each_epoch_orders_the_shards_differently(tmp_path: Path) -> None:
    exact = Exact(tmp_path, [4] * 6, buffer=1)
    orders = {tuple(exact.read(Reader(0, epoch))[::4]) for epoch in range(5)}
    assert len(orders) > 3


def test_without_shuffling_it_is_the_files_order(tmp_path: Path) -> None:
    exact = Exact(tmp_path, SIZES, shards=False, buffer=1)
    assert exact.read(Reader(0, 3)) == list(range(sum(SIZES)))


def test_a_broken_shard_loses_its_rest_and_is_counted(tmp_path: Path) -> None:
    exact = Exact(tmp_path, [6, 6, 6])
    path = tmp_path / "00001.tar"
    path.write_bytes(path.read_bytes()[: 512 * 9 + 100])  # within the third
    skipped = SkipCounter()
    assert sorted(exact.read(Reader(0, 0), skipped=skipped)) == [*range(8), *range(12, 18)]
    assert skipped.take() == {"cut shard": 4}


def test_a_shard_that_ends_early_is_counted(tmp_path: Path) -> None:
    exact = Exact(tmp_path, [6, 6])
    write_tar(tmp_path / "00001.tar", {"a": sample(100)})
    skipped = SkipCounter()
    assert sorted(exact.read(Reader(0, 0), skipped=skipped)) == [*range(6), 100]
    assert skipped.take() == {"missing sample": 5}


def test_samples_beyond_the_counted_are_reported(tmp_path: Path) -> None:
    exact = Exact(tmp_path, [6, 6])
    write_tar(tmp_path / "00001.tar", {f"{n}": sample(n) for n in range(6, 15)})
    skipped = SkipCounter()
    assert sorted(exact.read(Reader(0, 0), skipped=skipped)) == list(range(12))
    assert skipped.take() == {"uncounted sample": 3}


def resampled(*sources: Shards, weights: tuple[float, ...] = (1.0,)) -> ResampledEpochs:
    return ResampledEpochs(sources, weights, 100, batch_size=2, shuffle=Shuffle(buffer=10))


def draw(epochs: ResampledEpochs, reader: Reader, count: int, keep: bool = True) -> list[RawSample]:
    samples = epochs.samples(reader, 0, ShardReader(("txt",), keep), SkipCounter())
    return list(islice(samples, count))


@pytest.mark.parametrize("known", [True, False])
def test_shares_of_samples_are_the_weights(tmp_path: Path, known: bool) -> None:
    # Shards of unlike sizes: shares of shards would be far from shares of samples.
    write_shards(tmp_path / "a", [40, 40])
    write_shards(tmp_path / "b", [3, 2, 4, 3, 1], first=1000)
    a = shards(tmp_path / "a", [40, 40] if known else [None] * 2)
    b = shards(tmp_path / "b", [3, 2, 4, 3, 1] if known else [None] * 5)
    found = draw(resampled(a, b, weights=(1.0, 3.0)), Reader(0, 0), 3000)
    share = sum(number(raw) >= 1000 for raw in found) / len(found)
    assert abs(share - 0.75) < 0.03


def test_readers_and_epochs_draw_differently_and_repeatably(tmp_path: Path) -> None:
    write_shards(tmp_path, [5] * 4)
    epochs = resampled(shards(tmp_path, [5] * 4))
    readers = [
        Reader(seed, epoch, rank, 2, worker, 2)
        for seed in (0, 1)
        for epoch in (0, 1)
        for rank in (0, 1)
        for worker in (0, 1)
    ]
    orders = [tuple(map(number, draw(epochs, reader, 30))) for reader in readers]
    assert len(set(orders)) == len(readers)
    assert orders == [tuple(map(number, draw(epochs, reader, 30))) for reader in readers]


def test_short_epochs_reach_the_ends_of_long_shards(tmp_path: Path) -> None:
    write_shards(tmp_path, [100])
    epochs = resampled(shards(tmp_path, [100]))
    seen: Counter[int] = Counter()
    for epoch in range(300):
        seen.update(map(number, draw(epochs, Reader(0, epoch), 2, keep=False)[:2]))
    assert sum(seen[n] for n in range(50, 100)) > 200  # of 600, were they drawn evenly 300


def test_each_reading_of_a_sample_has_its_own_draw(tmp_path: Path) -> None:
    write_shards(tmp_path, [3])
    found = draw(resampled(shards(tmp_path, [3])), Reader(0, 0), 60)
    assert len({(raw.name, raw.draw) for raw in found}) == 60


def test_shards_that_give_nothing_end_an_endless_epoch(tmp_path: Path) -> None:
    epochs = resampled(shards(tmp_path, [None, None]))
    with pytest.raises(NothingToRead, match="data.train.shards.*in a row.*No such file"):
        draw(epochs, Reader(0, 0), 1)


def test_some_broken_shards_do_not(tmp_path: Path) -> None:
    write_shards(tmp_path, [5, 5, 5])
    (tmp_path / "00001.tar").write_bytes(b"nothing")
    skipped = SkipCounter()
    epochs = resampled(shards(tmp_path, [None] * 3))
    samples = epochs.samples(Reader(0, 0), 0, ShardReader(("txt",)), skipped)
    assert {number(raw) for raw in islice(samples, 200)} == {*range(5), *range(10, 15)}
    assert skipped.take()["unreadable shard of unknown size"] > 5
