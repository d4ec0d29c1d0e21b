"""The LightningDataModule."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable
from typing import Any

import torch
from lightning import LightningDataModule

from cyclip_pl.data.batches import BatchStream
from cyclip_pl.data.decoder import Decoder
from cyclip_pl.data.epochs import ExactEpochs, ResampledEpochs, Shards
from cyclip_pl.data.loader import BatchLoader
from cyclip_pl.data.settings import Shuffle, Source, TrainSource
from cyclip_pl.data.shard_sizes import shard_sizes
from cyclip_pl.data.tokens import Tokenizer
from cyclip_pl.data.transfer import Copies
from cyclip_pl.data.urls import missing, name_all, size_in_bytes
from cyclip_pl.data.views.interface import Views
from cyclip_pl.types import Batch

# Sets of at most this many bytes stay in each worker's memory.
_SMALL = 1 << 26

log = logging.getLogger(__name__)


class DataModule(LightningDataModule):
    """Training batches from WebDataset shards.

    Each epoch's order and augmentation follow from `seed`, the epoch and the reader alone, so a run
    resumed at an epoch's start goes on as it would have. Every rank makes the same number of
    batches of the same size.

    Args:
        train: the shards, and what an epoch of them is.
        batch_size: samples of one rank's batch.
        workers: reading processes of each rank; 0 reads in the training process.
        views: what of a sample the model is shown.
        tokenizer: list of K strings -> int64 (K, L); sent to the workers, so picklable.
        seed: the same on every rank.
        shuffle: how an epoch is mixed.
        caption_key: None, captions are the `txt` members; else the key of the `json` members that
            holds a caption or a list of captions.
        decoder: how JPEGs become pixels: "faithful", "fast" or "draft", see `Decoder.images`.
        pin_memory: use page-locked memory where there is a GPU.
        prefetch: batches that each worker makes ahead.
        prepare: makes the shards, or leaves those that serve; called on one process at first.

    Raises:
        ValueError: from `setup`, when the shards cannot serve these ranks, workers and batches;
            from the loader, when they hold no usable sample.
    """

    def __init__(
        self,
        train: TrainSource,
        *,
        batch_size: int,
        workers: int,
        views: Views,
        tokenizer: Tokenizer,
        seed: int,
        shuffle: Shuffle | None = None,
        caption_key: str | None = None,
        decoder: str = "fast",
        pin_memory: bool = True,
        prefetch: int = 2,
        prepare: Callable[[], object] | None = None,
    ) -> None:
        super().__init__()
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("workers", workers, 0),
            ("prefetch", prefetch, 1),
        ):
            if value < least:
                raise ValueError(f"data.{name} must be {least} or more, not {value!r}")
        self.train = train
        self.batch_size = batch_size
        self.workers = workers
        self.views = views
        self.tokenizer = tokenizer
        self.seed = seed
        self.shuffle = shuffle or Shuffle()
        self.decoder = Decoder(caption_key, decoder)
        self.pin_memory = pin_memory
        self.prefetch = prefetch
        self.prepare = prepare
        self.stream: ExactEpochs | ResampledEpochs | None = None
        self.small = False
        self._loader: weakref.ref[BatchLoader] | None = None
        self.unreadable: tuple[tuple[str, str], ...] = ()
        self.copies = Copies()

    @property
    def ranks(self) -> int:
        return self.trainer.world_size if self.trainer else 1

    @property
    def rank(self) -> int:
        return self.trainer.global_rank if self.trainer else 0

    def epoch(self) -> int:
        """The epoch whose order the next iteration takes."""
        # Not `trainer.current_epoch`: resumed from an epoch's end, a run that counts steps is still
        # told of the epoch before.
        if not self.trainer:
            return 0
        progress: Any = self.trainer.fit_loop.epoch_progress.current
        return progress.processed

    def prepare_data(self) -> None:
        if self.prepare is not None:
            self.prepare()

    def setup(self, stage: str) -> None:
        if stage == "fit" and self.stream is None:
            self._open()

    def _open(self) -> None:
        sources = self.train.sources()
        urls = [url for source in sources for url in source.urls]
        absent = missing(urls)
        if absent:
            raise ValueError(
                f"data.train.shards: {absent[0]!r} does not exist "
                f"({len(absent)} of {len(urls)} missing)"
            )
        sizes = dict(zip(urls, shard_sizes(urls), strict=True))
        shards = [
            Shards(source.urls, tuple(sizes[url].samples for url in source.urls))
            for source in sources
        ]
        for source in shards:
            if source.total == 0:
                problem = sizes[source.urls[0]].problem or "no member is named KEY.EXTENSION"
                raise ValueError(
                    f"data.train.shards: there is no sample in {name_all(source.urls)}: {problem}"
                )
        if self.train.resampled:
            self.stream = self._resampled(sources, shards)
        else:
            self.stream = self._exact(shards[0])
        self.small = (size_in_bytes(urls) or _SMALL + 1) <= _SMALL
        self.unreadable = tuple((url, s.problem) for url, s in sizes.items() if s.problem)
        if self.rank == 0:
            log.info(
                "%d training shards, %d batches of %d x %d an epoch",
                len(urls),
                self.stream.batches(self.ranks),
                self.ranks,
                self.batch_size,
            )

    def _exact(self, shards: Shards) -> ExactEpochs:
        unknown = _unknown(shards)
        if unknown is not None or shards.total is None:
            raise ValueError(
                f"data.train.shards: the number of samples in {unknown!r} is unknown, and exact "
                "epochs divide them: set data.train.resampled=true and "
                "data.train.samples_per_epoch=N, or use local shards"
            )
        ranks, workers = self.ranks, max(1, self.workers)
        if len(shards.urls) < ranks * workers:
            raise ValueError(
                f"data.train.shards: {len(shards.urls)} shards are too few for {ranks} ranks x "
                f"{workers} workers = {ranks * workers} readers: lower data.workers or "
                "trainer.devices, make more shards, or set data.train.resampled=true"
            )
        self._check_length("data.train.shards", shards.total)
        return ExactEpochs(shards, self.batch_size, self.shuffle)

    def _resampled(self, sources: list[Source], shards: list[Shards]) -> ResampledEpochs:
        length = self.train.samples_per_epoch
        if length is None:
            totals = [source.total for source in shards]
            unknown = next((_unknown(source) for source in shards if source.total is None), None)
            if unknown is not None:
                raise ValueError(
                    "data.train.samples_per_epoch: needed, as the number of samples in "
                    f"{unknown!r} is unknown"
                )
            length = sum(total or 0 for total in totals)
        self._check_length("data.train.samples_per_epoch", length)
        weights = tuple(1.0 if source.weight is None else source.weight for source in sources)
        return ResampledEpochs(tuple(shards), weights, length, self.batch_size, self.shuffle)

    def _check_length(self, setting: str, samples: int) -> None:
        batch = self.ranks * self.batch_size
        if samples < batch:
            raise ValueError(
                f"{setting}: {samples} samples an epoch are fewer than one batch of all ranks "
                f"({self.ranks} ranks x data.batch_size {self.batch_size} = {batch}): "
                "lower data.batch_size"
            )

    def train_dataloader(self) -> BatchLoader:
        assert self.stream is not None, "setup('fit') comes first"
        self.teardown("fit")
        stream = BatchStream(
            self.stream,
            self.decoder,
            self.views,
            self.tokenizer,
            batch_size=self.batch_size,
            seed=self.seed,
            rank=self.rank,
            ranks=self.ranks,
            keep=self.small,
            unreadable=self.unreadable,
        )
        loader = BatchLoader(
            stream,
            workers=self.workers,
            prefetch=self.prefetch,
            pin_memory=self.pin_memory,
            epoch=self.epoch,
        )
        self._loader = weakref.ref(loader)  # it knows this module: see its `close` about cycles
        return loader

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        return self.copies(batch, device)

    def teardown(self, stage: str) -> None:
        loader = self._loader() if self._loader else None
        if stage == "fit" and loader is not None:
            loader.close()


def _unknown(shards: Shards) -> str | None:
    return next((url for url, n in zip(shards.urls, shards.sizes, strict=True) if n is None), None)
