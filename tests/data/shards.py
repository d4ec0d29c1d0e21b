"""Small shards for the tests: sample n is an image of one colour with the caption "image n"."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from cyclip_pl.data.module import DataModule
from cyclip_pl.data.settings import TrainSource
from cyclip_pl.data.views.plain import Plain
from cyclip_pl.types import Batch


def png(n: int, size: tuple[int, int] = (8, 8)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (n // 256, n % 256, 200)).save(buffer, "PNG")
    return buffer.getvalue()


def sample(n: int) -> dict[str, bytes]:
    return {"png": png(n), "txt": f"image {n}".encode()}


def write_tar(path: Path, samples: Mapping[str, Mapping[str, bytes]], mode: str = "w") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode, format=tarfile.USTAR_FORMAT) as archive:
        for key, members in samples.items():
            for extension, data in members.items():
                member = tarfile.TarInfo(f"{key}.{extension}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    return path


def write_shards(folder: Path, sizes: Sequence[int], first: int = 0) -> Path:
    """Shards of these sizes, the samples numbered on from `first`."""
    n = first
    for index, size in enumerate(sizes):
        write_tar(folder / f"{index:05d}.tar", {f"{i:06d}": sample(i) for i in range(n, n + size)})
        n += size
    return folder


def number_tokenizer(texts: list[str]) -> Tensor:
    """The last word, a number, as the only token."""
    return torch.tensor([[int(text.split()[-1])] for text in texts])


def numbers(batch: Batch) -> list[int]:
    return batch.texts[0, :, 0].tolist()


def data_module(
    shards: Any,
    *,
    rank: int = 0,
    ranks: int = 1,
    epoch: int = 0,
    resampled: bool = False,
    samples_per_epoch: int | None = None,
    **settings: Any,
) -> DataModule:
    """A module with the settings of the tests, as the trainer of this rank would set it up."""
    shards = str(shards) if isinstance(shards, Path) else shards
    settings = {
        "batch_size": 4,
        "workers": 0,
        "views": Plain(8),
        "tokenizer": number_tokenizer,
        "seed": 0,
    } | settings
    module = DataModule(TrainSource(shards, resampled, samples_per_epoch), **settings)
    module.trainer = trainer_at(epoch, rank, ranks)
    return module


def trainer_at(epoch: int, rank: int = 0, ranks: int = 1) -> Any:
    """What a module asks of its trainer."""
    progress = SimpleNamespace(current=SimpleNamespace(processed=epoch))
    return SimpleNamespace(
        global_rank=rank, world_size=ranks, fit_loop=SimpleNamespace(epoch_progress=progress)
    )


def epoch_of(shards: Any, **settings: Any) -> list[Batch]:
    """One rank's batches of one epoch."""
    module = data_module(shards, **settings)
    module.setup("fit")
    batches = list(module.train_dataloader())
    module.teardown("fit")
    return batches
