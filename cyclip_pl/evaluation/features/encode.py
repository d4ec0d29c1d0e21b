"""Images and texts through a model's towers, a batch at a time, dealt to the ranks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from cyclip_pl.distributed import sum_over_ranks, world_size
from cyclip_pl.evaluation.features.sharding import blocks_of_rank
from cyclip_pl.evaluation.sets.interface import ImageSet
from cyclip_pl.images import Undecodable
from cyclip_pl.types import FeatureModel, Model

logger = logging.getLogger(__name__)

_NAMED_AT_MOST = 3  # broken images, in the log
_PIECE = 1 << 26  # numbers that travel at once: 256 MiB on the device


class _Preprocessed(Dataset):
    """Index -> (preprocessed image, index, why it is not that image or '')."""

    def __init__(self, dataset: ImageSet, preprocess: Callable[[Any], Tensor]) -> None:
        self.dataset = dataset
        self.preprocess = preprocess

    def __getitem__(self, index: int) -> tuple[Tensor, int, str]:
        try:
            image, reason = self.dataset.image(index), ""
        except Undecodable as error:
            # A blank keeps the batch's shape, and so the arithmetic of its other rows.
            image, reason = Image.new("RGB", (64, 64)), str(error)
        return self.preprocess(image), index, reason


def device_of(model: Model) -> torch.device:
    """`model.device` if it has one, else the CPU."""
    return torch.device(getattr(model, "device", "cpu"))


def encode_images(
    model: Model, dataset: ImageSet, batch_size: int, workers: int, features: bool = False
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Every decodable image of a set, on every rank, float32 on the CPU.

    Images are decoded and preprocessed in `workers` processes (0: in this one). Those that cannot
    be decoded are left out, and the log names the first.

    Returns:
        Embeddings (N, D); features (N, F) if asked for and the model is a `FeatureModel`, else
        None; int64 positions in the set (N,), increasing.
    """
    blocks = blocks_of_rank(len(dataset), batch_size)
    device = device_of(model)
    loader = DataLoader(
        _Preprocessed(dataset, model.preprocess),
        batch_sampler=[list(block) for block, _ in blocks],
        num_workers=workers,
        pin_memory=device.type == "cuda",
        generator=torch.Generator(),  # its worker seeds must not be drawn from the training's
    )
    good_N = torch.zeros(len(dataset))
    tables: list[Tensor] = []
    broken = 0
    for (block, real), (images, _, reasons) in zip(blocks, loader, strict=True):
        parts = encode_batch(model, images.to(device, non_blocking=True), features)
        if not tables:
            tables = [torch.zeros(len(dataset), part.shape[1]) for part in parts]
        if not real:
            continue
        rows = slice(block.start, block.stop)
        good_N[rows] = torch.tensor([float(not reason) for reason in reasons])
        for table, part in zip(tables, parts, strict=True):
            table[rows] = part.float().cpu()
        for index, reason in zip(block, reasons, strict=True):
            if reason and broken < _NAMED_AT_MOST:
                logger.warning("%s: left out, %s", dataset.where(index), reason)
            broken += bool(reason)
    index_N = _complete(good_N, device).nonzero().squeeze(1)
    kept = [
        table if len(index_N) == len(table) else table[index_N]
        for table in (_complete(table, device) for table in tables)
    ]
    return kept[0], kept[1] if len(kept) > 1 else None, index_N


def encode_batch(model: Model, images: Tensor, features: bool) -> Sequence[Tensor]:
    """Embeddings (N, D), then features (N, F) if asked for and the model is a `FeatureModel`."""
    if features and isinstance(model, FeatureModel):
        return model.encode_image_and_features(images)
    return (model.encode_image(images),)


def encode_texts(model: Model, texts: Sequence[str], batch_size: int) -> Tensor:
    """(N, D), float32 on the CPU, all rows on every rank."""
    text_ND = None
    for block, real in blocks_of_rank(len(texts), batch_size):
        part = model.encode_text([texts[n] for n in block])
        if text_ND is None:
            text_ND = torch.zeros(len(texts), part.shape[1])
        if real:
            text_ND[block.start : block.stop] = part.float().cpu()
    assert text_ND is not None
    return _complete(text_ND, device_of(model))


def _complete(table: Tensor, device: torch.device) -> Tensor:
    """Fill in the other ranks' rows: each is one rank's and zero elsewhere, the sum is exact."""
    if world_size() > 1:
        for piece in table.split(max(1, _PIECE * len(table) // table.numel())):
            piece.copy_(sum_over_ranks(piece.to(device)))
    return table
