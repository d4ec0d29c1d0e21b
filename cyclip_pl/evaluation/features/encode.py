"""Images and texts through a model's towers, a batch at a time, dealt to the ranks."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from cyclip_pl import signals
from cyclip_pl.distributed import sum_over_ranks, world_size
from cyclip_pl.evaluation.features.ahead import ahead
from cyclip_pl.evaluation.features.blocks import Rows, blocks_of_rank
from cyclip_pl.evaluation.sets.interface import ImageSet
from cyclip_pl.evaluation.watch import Watch
from cyclip_pl.images import Undecodable
from cyclip_pl.types import FeatureModel, Model

logger = logging.getLogger(__name__)

_NAMED_AT_MOST = 3  # broken images, in the log
_PIECE = 1 << 26  # numbers that are summed at once: 256 MiB on the device
_MOST_THREADS = 16

Read = tuple[Tensor, Sequence[str]]
"""Preprocessed images of a batch, and why each is not that image or ''."""


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
    model: Model,
    dataset: ImageSet,
    batch_size: int,
    workers: int | None = None,
    features: bool = False,
    watch: Watch | None = None,
    lanes: int = 1,
    named: int = _NAMED_AT_MOST,
    use: Callable[[Rows], None] | None = None,
) -> tuple[Rows, dict[int, int]]:
    """This rank's share of the decodable images of a set.

    Images that cannot be decoded are skipped, and the log names the first.

    Args:
        workers: Processes that decode and preprocess images. 0: this thread does. None: the lanes
            do, or with a GPU threads of this process, since decoding releases Python's lock.
        features: Keep the features as well, if the model is a `FeatureModel`.
        watch: Told how many images are done.
        lanes: Batches that are decoded and encoded side by side, each by one of PyTorch's threads:
            threads that share a batch wait for one another. For one process that computes on a
            CPU with a model that several threads may call; only with `workers=None`.
        named: Broken images that the log names at most.
        use: Takes each batch's rows, so that none are kept: those that come back have no columns
            of embeddings or features. A rank calls it at least once, perhaps with no rows.

    Returns:
        The rows; how many of them each of this rank's batches has, by the batch's first position.
    """
    dealt = blocks_of_rank(len(dataset), batch_size)
    share = sum(len(batch) for batch, real in dealt if real)
    tables: list[Tensor] = []
    indices: list[int] = []
    sizes: dict[int, int] = {}
    broken = 0
    watch = watch or Watch()
    watch.stage(f"images of {dataset.name}", sum(len(batch) for batch, _ in dealt))
    batches = [batch for batch, _ in dealt]
    items = _Preprocessed(dataset, model.preprocess)
    encode = partial(_encoded, model, features=features)
    encoded: Iterator[tuple[Sequence[Tensor], Sequence[str]]]
    if workers is None and lanes > 1:
        encoded = _by_lanes(items, batches, encode, lanes)
    else:
        encoded = map(encode, _read(items, batches, workers, device_of(model)))
    with signals.interruptible_together():
        for (batch, real), (parts, reasons) in zip(dealt, encoded, strict=True):
            good = [n for n, reason in enumerate(reasons) if real and not reason]
            found = [batch[n] for n in good]
            parts = [part[good] for part in parts]
            if use is not None:
                use(_rows(dataset, found, parts))
                parts = [part[:, :0] for part in parts]
            if not tables:
                tables = [torch.empty(share, part.shape[1]) for part in parts]
            if not real:
                continue
            for table, part in zip(tables, parts, strict=True):
                table[len(indices) : len(indices) + len(good)] = part
            indices += found
            sizes[batch.start] = len(good)
            watch.advance(len(batch))
            for index, reason in zip(batch, reasons, strict=True):
                if reason and broken < named:
                    logger.warning("%s: skipped, %s", dataset.where(index), reason)
                broken += bool(reason)
    return _rows(dataset, indices, [table[: len(indices)] for table in tables]), sizes


def _rows(dataset: ImageSet, indices: Sequence[int], parts: Sequence[Tensor]) -> Rows:
    embedding_nD, *feature = parts
    index_n = torch.tensor(indices, dtype=torch.int64)
    label_N = getattr(dataset, "label_N", None)
    label_n = torch.full_like(index_n, -1) if label_N is None else label_N[index_n]
    return Rows(embedding_nD, index_n, label_n, *feature)


def _encoded(model: Model, read: Read, features: bool) -> tuple[Sequence[Tensor], Sequence[str]]:
    """Rows of a batch, float32 on the CPU."""
    images, reasons = read
    parts = encode_batch(model, images.to(device_of(model), non_blocking=True), features)
    return [part.float().cpu() for part in parts], reasons


def _collated(items: Iterable[tuple[Tensor, int, str]]) -> Read:
    images, _, reasons = zip(*items, strict=True)
    return torch.stack(images), reasons


def _by_lanes(
    items: _Preprocessed, batches: Sequence[range], encode: Callable[[Read], Any], lanes: int
) -> Iterator[Any]:
    """Batches read and encoded side by side, each on its share of PyTorch's threads."""
    threads = torch.get_num_threads()

    def work(batch: range) -> Any:
        with torch.no_grad():  # which counts for one thread
            return encode(_collated(items[index] for index in batch))

    try:
        share = partial(torch.set_num_threads, max(1, threads // lanes))
        yield from ahead(work, batches, lanes, lanes + 1, share)
    finally:
        # The number of each thread is its own, but new threads take the last one that was set.
        torch.set_num_threads(threads)


def _read(
    items: _Preprocessed, batches: Sequence[range], workers: int | None, device: torch.device
) -> Iterator[Read]:
    """Batches read by processes, or by threads (None), while the model computes.

    Where the model is on the CPU, this thread reads instead: threads would take turns with the
    model's own, and both wait.
    """
    if workers is None and device.type == "cpu":
        workers = 0
    if workers is None:
        threads = min(_MOST_THREADS, max(1, (os.cpu_count() or 1) // world_size()))
        one_by_one = (index for batch in batches for index in batch)
        read = ahead(items.__getitem__, one_by_one, threads, 2 * len(batches[0]))
        for batch in batches:
            yield _collated(islice(read, len(batch)))
        return
    loader = DataLoader(
        items,
        batch_sampler=[list(batch) for batch in batches],
        num_workers=workers,
        pin_memory=device.type == "cuda",
        generator=torch.Generator(),  # its worker seeds must not be drawn from the training's
        worker_init_fn=signals.obey_main_process,
    )
    with signals.blocked():
        loaded = iter(loader)
    for images, _, reasons in loaded:
        yield images, reasons


def encode_batch(model: Model, images: Tensor, features: bool) -> Sequence[Tensor]:
    """Embeddings (N, D), then features (N, F) if asked for and the model is a `FeatureModel`."""
    if features and isinstance(model, FeatureModel):
        return model.encode_image_and_features(images)
    return (model.encode_image(images),)


def encode_texts(
    model: Model, texts: Sequence[str], batch_size: int, watch: Watch | None = None
) -> Tensor:
    """(N, D), float32 on the CPU, all rows on every rank."""
    text_ND = None
    watch = watch or Watch()
    dealt = blocks_of_rank(len(texts), batch_size)
    watch.stage("texts", sum(len(block) for block, _ in dealt))
    with signals.interruptible_together():
        for block, real in dealt:
            part = model.encode_text([texts[n] for n in block])
            if text_ND is None:
                text_ND = torch.zeros(len(texts), part.shape[1])
            if real:
                text_ND[block.start : block.stop] = part.float().cpu()
            watch.advance(len(block))
    assert text_ND is not None
    if world_size() > 1:
        # Each row is one rank's and zero elsewhere: the sum is exact.
        for piece in text_ND.split(max(1, _PIECE // text_ND.shape[1])):
            piece.copy_(sum_over_ranks(piece.to(device_of(model))))
    return text_ND
