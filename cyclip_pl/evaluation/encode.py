"""A set's images through a model's image tower, a batch at a time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from cyclip_pl.evaluation.datasets import ClassificationSet, Undecodable
from cyclip_pl.evaluation.sharding import blocks_of_rank
from cyclip_pl.types import Model

logger = logging.getLogger(__name__)

_NAMED_AT_MOST = 3  # broken images, in the log


class _Preprocessed(Dataset):
    """Index -> (preprocessed image, index, why it is not that image or '')."""

    def __init__(self, dataset: ClassificationSet, preprocess: Callable[[Any], Tensor]) -> None:
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
    model: Model, dataset: ClassificationSet, batch_size: int, workers: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """This rank's embeddings, in batches: (N, D) on the model's device and int64 indices (N,).

    Over all ranks every decodable image comes exactly once; the others are left out, and the log
    names the first. Images are decoded and preprocessed in `workers` processes (0: in this one).
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
    broken = 0
    for (_, real), (images, index_N, reasons) in zip(blocks, loader, strict=True):
        image_ND = model.encode_image(images.to(device, non_blocking=True))
        if not real:
            continue
        good_N = torch.tensor([not reason for reason in reasons])
        for index, reason in zip(index_N.tolist(), reasons, strict=True):
            if reason and broken < _NAMED_AT_MOST:
                logger.warning("%s: left out, %s", dataset.where(index), reason)
            broken += bool(reason)
        yield image_ND[good_N.to(image_ND.device)], index_N[good_N]
