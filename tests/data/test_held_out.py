"""Held-out samples: the same batches on any number of ranks and workers, at any time."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from cyclip_pl.data.epochs import Reader, Shards
from cyclip_pl.data.held_out import FixedOrder
from cyclip_pl.data.settings import Shuffle, ValSource
from cyclip_pl.data.shard_reader import ShardReader
from cyclip_pl.data.skipped import SkipCounter
from cyclip_pl.data.views.augmented import Augmented
from cyclip_pl.data.views.several import Several
from cyclip_pl.types import Batch
from tests.data.shards import data_module, png, sample, write_shards, write_tar


def first_numbers(texts: list[str]) -> Tensor:
    """A number in a caption as the only token; a blank row's is −1."""
    return torch.tensor([[int(text.split()[-1]) if text != "blank" else -1] for text in texts])


def held_out(folder: Path, ranks: int = 1, batch_size: int = 4, **settings: Any) -> list[Batch]:
    """The global batches, put together from those of the ranks."""
    write_shards(folder.parent / "train", [8] * 4, first=900)
    parts = []
    for rank in range(ranks):
        module = data_module(
            folder.parent / "train",
            val=ValSource(str(folder), batch_size=batch_size),
            tokenizer=first_numbers,
            image_size=8,
            rank=rank,
            ranks=ranks,
            **settings,
        )
        module.setup("fit")
        assert module.held_out is not None
        parts.append(list(module.held_out))
        module.held_out.close()
    return [
        Batch(
            torch.cat([part.images for part in batch], dim=1),
            torch.cat([part.texts for part in batch], dim=1),
            skipped={cause: n for part in batch for cause, n in part.skipped.items()},
            keys=[key for part in batch for key in part.keys],
        )
        for batch in zip(*parts, strict=True)
    ]


def numbers(batches: list[Batch]) -> list[list[int]]:
    return [batch.texts[0, :, 0].tolist() for batch in batches]


@pytest.mark.parametrize(("ranks", "workers"), [(1, 0), (2, 0), (4, 0), (2, 2), (1, 2)])
def test_a_global_batch_is_consecutive_samples(tmp_path: Path, ranks: int, workers: int) -> None:
    folder = write_shards(tmp_path / "held", [3, 6, 1, 5])
    for seed in (0, 1):
        found = held_out(folder, ranks, workers=workers, seed=seed)
        assert numbers(found) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [12, 13, 14, -1]]
        assert found[3].keys[2:] == ["00003.tar/000014", ""]


@pytest.mark.parametrize("ranks", [1, 2, 3, 6])
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_readers_together_read_every_sample_once(tmp_path: Path, ranks: int, workers: int) -> None:
    folder = write_shards(tmp_path, [7, 1, 12, 3])
    urls = tuple(sorted(str(path) for path in folder.iterdir()))
    shards = Shards(urls, (7, 1, 12, 3))
    order = FixedOrder(shards=shards, batch_size=6 // ranks, shuffle=Shuffle(False, 1))
    read, found = ShardReader(("txt",)), []
    for rank in range(ranks):
        for worker in range(workers):
            reader = Reader(5, 0, rank, ranks, worker, workers)
            samples = order.samples(reader, 0, read, SkipCounter())
            # Its place among all, of the n-th that this reader gives.
            share = 6 // ranks
            for n, raw in enumerate(samples):
                batch = worker + n // share * workers
                found.append((6 * batch + rank * share + n % share, int(raw.key)))
    assert sorted(found) == [(n, n) for n in range(23)]


def test_what_cannot_be_used_leaves_a_blank_row_in_its_place(tmp_path: Path) -> None:
    folder = tmp_path / "held"
    samples = {f"{n:06d}": sample(n) for n in range(12)}
    samples["000002"] = {"png": png(2)}
    samples["000005"] = {"png": b"no image", "txt": b"image 5"}
    write_tar(folder / "00000.tar", {key: samples[key] for key in sorted(samples)[:8]})
    cut = write_tar(folder / "00001.tar", {key: samples[key] for key in sorted(samples)[8:]})
    (folder / "sizes.json").write_text('{"00000.tar": 8, "00001.tar": 4}')
    cut.write_bytes(cut.read_bytes()[: 2 * 2048 + 100])
    expected = [[0, 1, -1, 3], [4, -1, 6, 7], [8, 9, -1, -1]]
    for ranks, workers in ((1, 0), (2, 0), (2, 2)):
        found = held_out(folder, ranks, workers=workers)
        assert numbers(found) == expected
        assert [[key == "" for key in batch.keys] for batch in found] == [
            [n == -1 for n in row] for row in expected
        ]
        lost: dict[str, int] = {}
        for batch in found:
            lost |= batch.skipped
        assert set(lost) == {"missing caption", "undecodable image", "cut shard"}


def test_one_view_is_the_evaluations_and_several_are_drawn_once_for_all(tmp_path: Path) -> None:
    folder = tmp_path / "held"
    images = {f"{n:03d}": {"png": png(n, (8, 24)), "txt": f"image {n}".encode()} for n in range(4)}
    write_tar(folder / "0.tar", images)
    strong = Augmented(8, scale=(0.1, 0.5))
    (plain,) = held_out(folder, views=strong)
    assert plain.images.shape == (1, 4, 3, 8, 8)
    for n, image in enumerate(plain.images[0]):
        assert (image == torch.tensor([0, n, 200])[:, None, None]).all()
    two = Several(["strong", "strong"], strong=strong)
    first, second = (held_out(folder, ranks, views=two, seed=ranks)[0] for ranks in (1, 2))
    assert first.images.shape == (2, 4, 3, 8, 8)
    assert not torch.equal(first.images[0], first.images[1])
    assert torch.equal(first.images, second.images)


def test_shards_that_nobody_has_counted_are_read_for_their_sizes(tmp_path: Path) -> None:
    write_shards(tmp_path / "train", [8], first=50)
    write_shards(tmp_path / "held", [3, 6])
    pipes = [f"pipe:cat {path}" for path in sorted((tmp_path / "held").iterdir())]
    module = data_module(
        tmp_path / "train", val=ValSource(pipes, 4), tokenizer=first_numbers, allow_pipe=True
    )
    module.setup("fit")
    assert module.held_out is not None
    assert numbers(list(module.held_out))[:2] == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_the_size_of_what_is_left_out_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_shards(tmp_path / "held", [3, 6])
    with caplog.at_level(logging.INFO):
        held_out(folder)
    assert (
        "2 held-out shards, 2 batches of 4 samples; the last 1 samples are left out" in caplog.text
    )


@pytest.mark.parametrize(
    ("val", "ranks", "line"),
    [
        ({"batch_size": 30}, 1, "data.val.batch_size=30: is more than the 9 samples of"),
        ({"batch_size": 4}, 3, "data.val.batch_size=4: must be a multiple of the 3 processes"),
        ({"shards": "{}/absent.tar"}, 1, "data.val.shards: .*absent.tar' does not exist"),
        ({"shards": "{}/empty"}, 1, "data.val.shards: .*empty' holds no .tar file"),
        ({"shards": ["{}/held", "{}/held"]}, 1, "data.val.shards: .* is listed twice"),
        ({"shards": "{}/train"}, 1, "data.val.shards: .* is one of data.train.shards"),
        ({"shards": [{"shards": "{}/held", "weight": 2}]}, 1, "data.val.shards: weights have no"),
        ({"shards": []}, 1, "data.val.shards is empty"),
        ({"shards": [3]}, 1, "data.val.shards: 3 is not a path"),
    ],
)
def test_what_cannot_be_held_out_is_one_line(
    tmp_path: Path, val: dict[str, Any], ranks: int, line: str
) -> None:
    write_shards(tmp_path / "held", [9])
    write_shards(tmp_path / "train", [8] * 4)
    (tmp_path / "empty").mkdir()

    def placed(shards: Any) -> Any:
        if isinstance(shards, dict):
            return {key: placed(value) for key, value in shards.items()}
        if isinstance(shards, list):
            return [placed(one) for one in shards]
        return shards.format(tmp_path) if isinstance(shards, str) else shards

    source = ValSource(**{"batch_size": 4, **val, "shards": placed(val.get("shards", "{}/held"))})
    module = data_module(tmp_path / "train", val=source, ranks=ranks)
    with pytest.raises(ValueError, match=f"^{line}") as caught:
        module.setup("fit")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["batch_size", "every_n_steps", "every_n_epochs"])
def test_settings_out_of_range_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"^data.val.{name}=0: must be"):
        ValSource("x", **{name: 0})
