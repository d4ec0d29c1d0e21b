"""What workers make of undecoded samples."""

from __future__ import annotations

import json
import logging
import pickle
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from cyclip_pl.data import stream
from cyclip_pl.data.batches import Batches, Failure
from cyclip_pl.data.views.augmented import Augmented
from cyclip_pl.data.views.base import ViewedSample
from cyclip_pl.data.views.parameters import LEGEND
from cyclip_pl.data.views.plain import Plain
from cyclip_pl.data.views.several import Several
from cyclip_pl.types import Batch
from tests.data.shards import (
    data_module,
    epoch_of,
    number_tokenizer,
    numbers,
    png,
    sample,
    trainer_at,
    write_shards,
    write_tar,
)
from tests.helpers.tars import tar


def batches_of(folder: Path, **settings: Any) -> Batches:
    module = data_module(folder, **settings)
    module.setup("fit")
    return module.train_dataloader().batches


def test_batches(tmp_path: Path) -> None:
    write_shards(tmp_path, [9])
    first, second = epoch_of(tmp_path)
    assert first.images.shape == (1, 4, 3, 8, 8) and first.images.dtype == torch.uint8
    assert first.images[0].is_contiguous(memory_format=torch.channels_last)
    assert first.texts.shape == (1, 4, 1) and first.texts.dtype == torch.int64
    assert torch.equal(first.augmentation, torch.zeros(1, 4, len(LEGEND)))
    assert first.skipped == {}
    for batch in (first, second):
        # Image and caption of one sample stay together.
        for image, n in zip(batch.images[0], numbers(batch), strict=True):
            assert image[:, 0, 0].tolist() == [n // 256, n % 256, 200]


def test_keys_name_the_samples_in_their_order(tmp_path: Path) -> None:
    write_shards(tmp_path, [8])
    for batch in epoch_of(tmp_path):
        assert len(batch.keys) == 4
        for key, n in zip(batch.keys, numbers(batch), strict=True):
            assert key.endswith(".tar/" + key.rpartition("/")[2]) and int(key[-4:]) == n


class Pair:
    """Two views of each kind; the parameters tell the view and the generator's first number."""

    image_views, text_views, parameters = 2, 2, 2

    def __call__(
        self, image: Image.Image, captions: list[str], rng: np.random.Generator
    ) -> ViewedSample:
        single = Plain(8)(image, captions, rng)
        n = int(captions[0].split()[-1])
        drawn = rng.random()
        return ViewedSample(
            torch.cat([single.images, 255 - single.images]),
            [f"{n}", f"{n + 1000}"],
            torch.tensor([[0.0, drawn], [1.0, drawn]]),
        )


def test_views_come_first(tmp_path: Path) -> None:
    write_shards(tmp_path, [8])
    for batch in epoch_of(tmp_path, views=Pair()):
        assert batch.images.shape == (2, 4, 3, 8, 8) and batch.texts.shape == (2, 4, 1)
        assert torch.equal(batch.images[1], 255 - batch.images[0])
        assert torch.equal(batch.texts[1], batch.texts[0] + 1000)
        assert batch.augmentation is not None and batch.augmentation.shape == (2, 4, 2)
        assert batch.augmentation.dtype == torch.float32
        assert batch.augmentation[1, :, 0].tolist() == [1.0] * 4


def test_parameters_line_up_with_their_images(tmp_path: Path) -> None:
    """A view's brightness is that of the one factor that its vector reports."""
    only = dict.fromkeys(("contrast", "saturation", "hue", "grayscale", "flip"), 0.0)
    dim = Augmented(8, scale=(1, 1), brightness=0.5, jitter=1.0, **only)  # type: ignore[arg-type]
    views = Several(["plain", "dim", "dim"], plain=Plain(8), dim=dim)
    write_shards(tmp_path, [8])
    first, again, other = (epoch_of(tmp_path, views=views, epoch=epoch) for epoch in (0, 0, 1))
    for batch, same in zip(first, again, strict=True):
        assert batch.images.shape == (3, 4, 3, 8, 8)
        augmentation = batch.augmentation
        assert augmentation is not None and augmentation.shape == (3, 4, len(LEGEND))
        assert augmentation.dtype == torch.float32
        factor = 1 + augmentation[..., LEGEND.index("brightness")]
        blue = (200 * factor).clamp(max=255)
        assert (batch.images[:, :, 2].float() - blue[..., None, None]).abs().max() <= 1
        assert torch.equal(factor[0], torch.ones(4)) and len(factor[1:].unique()) == 8
        assert torch.equal(same.images, batch.images) and torch.equal(same.texts, batch.texts)
        assert torch.equal(same.augmentation, augmentation)
    factors = [torch.cat([batch.augmentation[1] for batch in epoch]) for epoch in (first, other)]
    assert not torch.isin(factors[0][:, 6], factors[1][:, 6]).any()


def drawn(folder: Path, **settings: Any) -> dict[int, float]:
    """Each sample's random number."""
    batches = epoch_of(folder, views=Pair(), **settings)
    return {
        n: batch.augmentation[0, i, 1].item()  # type: ignore[index]
        for batch in batches
        for i, n in enumerate(numbers(batch))
    }


def test_augmentation_depends_on_the_sample_not_on_the_reader(tmp_path: Path) -> None:
    write_shards(tmp_path, [4] * 4)
    alone = drawn(tmp_path)
    assert len(set(alone.values())) == 16
    together = drawn(tmp_path, ranks=2, rank=0) | drawn(tmp_path, ranks=2, rank=1)
    assert together == alone
    for other in ({"seed": 1}, {"epoch": 1}):
        changed = drawn(tmp_path, **other)
        assert changed.keys() == alone.keys() and not set(changed.values()) & set(alone.values())


def test_a_sample_drawn_again_is_augmented_differently(tmp_path: Path) -> None:
    write_shards(tmp_path, [2])
    batches = epoch_of(tmp_path, views=Pair(), resampled=True, samples_per_epoch=16)
    values = torch.cat([batch.augmentation[0, :, 1] for batch in batches])  # type: ignore[index]
    assert len(values) == 16 == len(set(values.tolist()))


def test_samples_of_one_key_are_samples_of_their_own(tmp_path: Path) -> None:
    """Neither their images nor their random numbers are mixed up."""
    members = [(f"a.{ext}", data) for n in range(16) for ext, data in sample(n).items()]
    (tmp_path / "0.tar").write_bytes(tar(members))
    module = data_module(tmp_path, views=Pair())
    module.setup("fit")
    assert module.small  # the decoded images are kept
    values: list[float] = []
    for epoch in range(2):
        module.trainer = trainer_at(epoch)
        found = []
        for batch in module.train_dataloader():
            for i, n in enumerate(numbers(batch)):
                assert batch.images[0, i, :, 0, 0].tolist() == [0, n, 200]
                values.append(batch.augmentation[0, i, 1].item())  # type: ignore[index]
                found.append(n)
        assert sorted(found) == list(range(16))
    assert len(set(values)) == 32


def test_unusable_samples_are_counted_and_replaced(tmp_path: Path) -> None:
    good = {f"{n}": sample(n) for n in range(13)}
    bad = {
        "100": {"txt": b"image 100"},
        "101": {"png": png(101)},
        "102": {"png": b"text", "txt": b"image 102"},
        "103": {"png": png(103), "txt": b" "},
        "104": {"png": png(104)[:30], "txt": b"image 104"},
    }
    write_tar(tmp_path / "00000.tar", good | bad)
    batches = epoch_of(tmp_path, batch_size=3)
    # 18 samples make six batches; five of them are unusable, so five others come twice.
    found = [n for batch in batches for n in numbers(batch)]
    assert len(batches) == 6 and all(len(batch) == 3 for batch in batches)
    assert set(found) == set(range(13))
    counted: dict[str, int] = {}
    for batch in batches[:5]:
        for reason, count in batch.skipped.items():
            counted[reason] = counted.get(reason, 0) + count
    reasons = {"missing image", "missing caption", "undecodable image", "empty caption"}
    assert set(counted) <= reasons
    assert sum(sum(batch.skipped.values()) for batch in batches) == 5  # each once


def test_each_usable_sample_comes_once_before_any_comes_twice(tmp_path: Path) -> None:
    write_tar(
        tmp_path / "00000.tar",
        {f"{n}": sample(n) if n % 2 else {"txt": b"image 0"} for n in range(16)},
    )
    found = [n for batch in epoch_of(tmp_path) for n in numbers(batch)]
    odd = list(range(1, 16, 2))
    assert sorted(found[:8]) == odd and sorted(found[8:]) == odd


def test_the_surplus_stands_in_first(tmp_path: Path) -> None:
    # Three unusable ones of 15: three batches of four need no sample twice.
    write_tar(
        tmp_path / "00000.tar",
        {f"{n}": {"txt": b"x"} if n in (2, 7, 11) else sample(n) for n in range(15)},
    )
    found = [n for batch in epoch_of(tmp_path) for n in numbers(batch)]
    assert sorted(found) == [n for n in range(15) if n not in (2, 7, 11)]


def test_shards_known_to_be_unreadable_are_counted(tmp_path: Path) -> None:
    write_shards(tmp_path, [4, 4])
    (tmp_path / "00002.tar").write_bytes(b"text" * 500)
    first, _ = epoch_of(tmp_path)
    assert first.skipped == {"unreadable shard of unknown size": 1}
    assert first.skipped_in == {"unreadable shard of unknown size": [str(tmp_path / "00002.tar")]}


def failure(folder: Path, **settings: Any) -> str:
    items = list(islice(batches_of(folder, **settings), 50))
    assert isinstance(items[-1], Failure)
    assert "\n" not in items[-1].message and items[-1].message.startswith("data.train.shards")
    return items[-1].message


def test_no_image_at_all(tmp_path: Path) -> None:
    write_tar(tmp_path / "00000.tar", {f"{n}": {"npy": b"", "txt": b"image"} for n in range(9)})
    message = failure(tmp_path)
    assert "missing image 9" in message
    assert "found .npy .txt" in message and "expected an image (.jpg" in message


def test_no_caption_at_all_names_the_setting(tmp_path: Path) -> None:
    captions = json.dumps({"caption": "a"}).encode()
    write_tar(tmp_path / "00000.tar", {f"{n}": {"png": png(n), "json": captions} for n in range(9)})
    assert "missing caption 9" in failure(tmp_path) and "data.caption_key" in failure(tmp_path)
    message = failure(tmp_path, caption_key="title")
    assert "missing caption 9" in message and "data.caption_key=title" in message


def test_all_shards_broken(tmp_path: Path) -> None:
    write_shards(tmp_path, [4, 4])
    batches = batches_of(tmp_path)
    for path in tmp_path.glob("*.tar"):
        path.write_bytes(b"text" * 500)
    (item,) = batches
    assert isinstance(item, Failure) and "unreadable shard 8" in item.message


def test_next_to_nothing_usable_stops_before_the_range_is_read(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(stream, "_PATIENCE", 20)
    write_tar(tmp_path / "00000.tar", {f"{n}": {"txt": b"image"} for n in range(500)})
    for resampled in (False, True):
        assert "missing image 20;" in failure(tmp_path, resampled=resampled)


def test_one_usable_of_hundreds_does_not_make_an_epoch(tmp_path: Path) -> None:
    samples = {f"{n}": {"txt": b"image"} for n in range(400)} | {"x": sample(7)}
    write_tar(tmp_path / "00000.tar", samples)
    assert "only 1 usable sample" in failure(tmp_path)


def test_samples_read_ahead_count_for_their_own_turn(tmp_path: Path) -> None:
    usable = {0: sample(0)}
    broken = {n: sample(n) | {"png": b"x"} for n in range(1, 8)}
    write_tar(tmp_path / "0.tar", {f"{n}": members for n, members in (usable | broken).items()})
    for batch in islice(batches_of(tmp_path), 12):
        assert isinstance(batch, Batch) and numbers(batch) == [0] * 4


def test_it_can_be_sent_to_a_worker(tmp_path: Path) -> None:
    write_shards(tmp_path, [8])
    batches = batches_of(tmp_path)
    sent = pickle.loads(pickle.dumps(batches))
    for ours, theirs in zip(islice(batches, 2), islice(sent, 2), strict=True):
        assert isinstance(ours, Batch) and isinstance(theirs, Batch)
        assert torch.equal(ours.images, theirs.images) and numbers(ours) == numbers(theirs)


def test_the_module_gives_what_batches_are_made_of(tmp_path: Path) -> None:
    write_shards(tmp_path, [4, 4])
    batches = batches_of(tmp_path, seed=3, rank=1, ranks=2)
    assert (batches.seed, batches.rank, batches.ranks, batches.per_epoch()) == (3, 1, 2, 1)
    assert batches.tokenizer.tokenizer is number_tokenizer


def test_warnings_name_the_shard_and_the_sample(tmp_path: Path, caplog) -> None:
    write_tar(tmp_path / "0.tar", {"a": sample(1), "b/c": {"txt": b"image"}})
    epoch_of(tmp_path, batch_size=1)
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert record.getMessage() == (
        f"skipped (missing image): {tmp_path}/0.tar, sample b/c; "
        "further ones are counted, not listed"
    )
