"""Batches of captions of similar length: which samples, in which order, resumed, with losses."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from cyclip_pl.data.batches import Batches, Failure
from cyclip_pl.data.buckets import sorted_batches
from cyclip_pl.data.decoder import Decoder
from cyclip_pl.data.loader import BatchLoader
from cyclip_pl.data.settings import Shuffle
from cyclip_pl.encoders.text_length import UpToPadding
from cyclip_pl.types import Batch
from tests.data.shards import data_module, epoch_of, numbers, png, write_tar

CONTEXT = 44


def words(n: int) -> int:
    """The words of sample n's caption: 1 to 40."""
    return 1 + n * 7 % 40


def tokenizer(texts: list[str]) -> Tensor:
    """The sample's number plus one, a token per word, and padding."""
    rows = torch.zeros(len(texts), CONTEXT, dtype=torch.int64)
    for row, text in zip(rows, texts, strict=True):
        number, *rest = text.split()
        row[0] = int(number) + 1
        row[1 : 1 + len(rest)] = 1
    return rows


VARIABLE: dict[str, Any] = {
    "tokenizer": tokenizer,
    "text": "variable",
    "text_length": UpToPadding(0),
}
BUCKETS: dict[str, Any] = VARIABLE | {"length_bucket": 3}


def write(folder: Path, sizes: list[int], bad: bool = False) -> Path:
    """Samples numbered on; of `bad` shards, some have no caption, some no image that decodes."""
    n = 0
    for shard, size in enumerate(sizes):
        samples = {}
        for i in range(n, n + size):
            image = png(i)[:40] if bad and i % 7 == 3 else png(i)
            caption = b" " if bad and i % 11 == 5 else f"{i} {'w ' * words(i)}".encode()
            samples[f"{i:04d}"] = {"png": image, "txt": caption}
        write_tar(folder / f"{shard}.tar", samples)
        n += size
    return folder


def usable(n: int) -> bool:
    return n % 7 != 3 and n % 11 != 5


def samples_of(batches: list[Batch]) -> list[list[int]]:
    return [[n - 1 for n in numbers(batch)] for batch in batches]


def loader(folder: Path, **settings: Any) -> BatchLoader:
    module = data_module(folder, **BUCKETS | settings)
    module.setup("fit")
    made = module.train_dataloader()
    made._used = None  # all that are given
    return made


def test_variable_texts_are_the_fixed_ones_cut(tmp_path: Path) -> None:
    write(tmp_path, [20, 20])
    fixed = epoch_of(tmp_path, tokenizer=tokenizer)
    variable = epoch_of(tmp_path, **VARIABLE)
    for whole, cut in zip(fixed, variable, strict=True):
        longest = 1 + max(words(n) for (n,) in zip(*samples_of([whole]), strict=True))
        length = cut.texts.shape[-1]
        assert length == min(CONTEXT, -(-longest // 8) * 8)
        assert torch.equal(cut.texts, whole.texts[..., :length])
        assert not whole.texts[..., length:].any() and torch.equal(cut.images, whole.images)
        assert cut.texts.untyped_storage().nbytes() == cut.texts.nbytes  # all that a worker sends
    assert len({batch.texts.shape[-1] for batch in variable}) > 1
    assert {batch.texts.shape[-1] for batch in fixed} == {CONTEXT}


def test_a_bucket_of_a_whole_epoch_sorts_it(tmp_path: Path) -> None:
    write(tmp_path, [20, 28])
    batches = samples_of(epoch_of(tmp_path, **BUCKETS | {"length_bucket": 50}))
    lengths = [[words(n) for n in batch] for batch in batches]
    every = sorted(words(n) for n in range(48))
    assert sorted(lengths) == [every[i : i + 4] for i in range(0, 48, 4)]
    assert lengths != sorted(lengths)


def test_buckets_are_of_the_streams_next_samples(tmp_path: Path) -> None:
    write(tmp_path, [20, 28])
    shuffle = Shuffle(shards=False, buffer=1)
    batches = samples_of(epoch_of(tmp_path, **BUCKETS, shuffle=shuffle, batch_size=5))
    assert len(batches) == 9
    for begin in range(0, 9, 3):
        bucket = sorted(batches[begin : begin + 3], key=lambda batch: words(batch[0]))
        order = sorted(range(5 * begin, 5 * begin + 15), key=words)
        assert bucket == [order[:5], order[5:10], order[10:]]


def test_sorting() -> None:
    assert sorted_batches([5, 1, 3, 1, 9, 2], 2, [2, 0, 1]) == [[0, 4], [1, 3], [5, 2]]


@pytest.mark.parametrize(("ranks", "workers"), [(1, 0), (2, 0), (2, 2)])
def test_exact_epochs(tmp_path: Path, ranks: int, workers: int) -> None:
    write(tmp_path, [9, 14, 6, 11, 13])
    settings = BUCKETS | {"batch_size": 3, "workers": workers, "ranks": ranks}
    orders = []
    for epoch in (0, 0, 1):
        found = []
        for rank in range(ranks):
            batches = epoch_of(tmp_path, rank=rank, epoch=epoch, **settings)
            assert [len(batch) for batch in batches] == [3] * (53 // ranks // 3)
            found += samples_of(batches)
        flat = [n for batch in found for n in batch]
        assert len(set(flat)) == len(flat) > 53 - ranks * 3
        orders.append(found)
    assert orders[0] == orders[1] != orders[2]


def test_unusable_samples_are_counted_once_and_replaced(tmp_path: Path) -> None:
    write(tmp_path, [40, 40, 40], bad=True)
    plain, buckets = (
        epoch_of(tmp_path, batch_size=4, **settings) for settings in (VARIABLE, BUCKETS)
    )
    counts = []
    for batches in (plain, buckets):
        assert [len(batch) for batch in batches] == [4] * 30
        found = Counter(n for batch in samples_of(batches) for n in batch)
        assert all(map(usable, found))
        assert len(found) == sum(map(usable, range(120)))  # each comes before any comes twice
        counts.append(sum((Counter(batch.skipped) for batch in batches), Counter()))
        for batch in batches:
            for image, n in zip(batch.images[0], numbers(batch), strict=True):
                assert image[:, 0, 0].tolist() == [0, n - 1, 200]
    assert counts[0] == counts[1] and set(counts[0]) == {"undecodable image", "empty caption"}
    assert sum(counts[0].values()) == 120 - sum(map(usable, range(120)))
    assert sum(b.texts.shape[-1] for b in buckets) < 0.85 * sum(b.texts.shape[-1] for b in plain)


@pytest.mark.parametrize("resampled", [False, True])
def test_a_resumed_epoch_is_the_same_behind_every_batch(tmp_path: Path, resampled: bool) -> None:
    write(tmp_path, [22, 22, 22], bad=True)
    settings: dict[str, Any] = {"resampled": resampled, "batch_size": 4}
    through = loader(tmp_path, **settings)
    whole, states = [], [through.state_dict()]
    for batch in through:
        whole.append(batch)
        states.append(through.state_dict())
    assert len(whole) == 16 and len({batch.drawn[0] for batch in whole}) == 2 - resampled
    for given, state in enumerate(states[:-1]):
        rest = loader(tmp_path, **settings)
        rest.load_state_dict(state)
        for actual, expected in zip(rest, whole[given:], strict=True):
            assert actual.keys == expected.keys and actual.drawn == expected.drawn
            assert torch.equal(actual.images, expected.images)
            assert torch.equal(actual.texts, expected.texts)
            assert actual.skipped == expected.skipped


@pytest.mark.slow
def test_workers_resume_inside_their_own_buckets(tmp_path: Path) -> None:
    write(tmp_path, [22, 22, 22, 22], bad=True)
    settings: dict[str, Any] = {"workers": 2, "batch_size": 4}
    through = loader(tmp_path, **settings)
    whole, states = [], []
    for batch in through:
        whole.append(samples_of([batch]))
        states.append(through.state_dict())
    through.close()
    for given in (5, 13):
        rest = loader(tmp_path, **settings)
        rest.load_state_dict(states[given - 1])
        assert [samples_of([batch]) for batch in rest] == whole[given:]
        rest.close()


def test_what_lies_before_is_not_decoded_and_little_is_read_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, [48])
    through = loader(tmp_path)
    first, second = islice(iter(through), 2)
    assert first.drawn == (0, 12, 0, 0, 1) and second.drawn == (0, 12, 0, 0, 2)
    state = through.state_dict()
    decoded = []
    decode = Decoder.__call__
    monkeypatch.setattr(
        Decoder, "__call__", lambda self, raw: decoded.append(raw.key) or decode(self, raw)
    )
    rest = loader(tmp_path)
    rest.batches._decode = rest.batches.decoder  # the cache of small sets holds some
    rest.load_state_dict(state)
    batch = next(iter(rest))
    assert [key.rpartition("/")[2] for key in batch.keys] == decoded


def test_another_size_is_another_order(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path, [48])
    through = loader(tmp_path)
    next(iter(through))
    for size in (None, 5):
        other = loader(tmp_path, length_bucket=size)
        other.load_state_dict(through.state_dict())
        assert f"data.length_bucket 3 → {size}" in caplog.text
        assert len(list(other)) == 11


def test_nothing_usable_ends_with_a_line(tmp_path: Path) -> None:
    samples = {f"{n}": {"png": b"x", "txt": b"1 w"} for n in range(50)}
    write_tar(tmp_path / "0.tar", samples)
    module = data_module(tmp_path, **BUCKETS)
    module.setup("fit")
    batches: Batches = module.train_dataloader().batches
    (item,) = islice(batches, 3)
    assert isinstance(item, Failure) and "no usable sample" in item.message


def test_what_does_not_go_together() -> None:
    with pytest.raises(ValueError, match="^data.length_bucket=4: .*set data.text=variable$"):
        data_module("x.tar", length_bucket=4)
    with pytest.raises(ValueError, match="^data.length_bucket=0: must be"):
        data_module("x.tar", **BUCKETS | {"length_bucket": 0})
    with pytest.raises(ValueError, match="^data.text=long: must be"):
        data_module("x.tar", text="long")
