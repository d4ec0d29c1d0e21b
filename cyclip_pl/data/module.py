"""The LightningDataModule."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from lightning import LightningDataModule

from cyclip_pl import checks
from cyclip_pl.data.batches import Batches
from cyclip_pl.data.decoder import Decoder
from cyclip_pl.data.epochs import Epochs, ExactEpochs, ResampledEpochs, Shards
from cyclip_pl.data.held_out import HeldOutBatches, open_order
from cyclip_pl.data.loader import BatchLoader
from cyclip_pl.data.position import moved, order
from cyclip_pl.data.settings import Shuffle, TrainSource, ValSource, check_text
from cyclip_pl.data.shard_reader import ShardReader
from cyclip_pl.data.shard_sizes import shard_sizes
from cyclip_pl.data.tokens import TextLength, Tokenizer
from cyclip_pl.data.transfer import Transfer
from cyclip_pl.data.urls import missing, name_all, size_in_bytes
from cyclip_pl.data.views.base import Views
from cyclip_pl.data.views.plain import Plain
from cyclip_pl.types import Batch

# Each worker keeps sets of at most this many bytes in memory.
_SMALL = 1 << 26

logger = logging.getLogger(__name__)


class DataModule(LightningDataModule):
    """Training batches from WebDataset shards.

    Order and augmentation depend on `seed`, the epoch and the reader alone, and the loader's state
    is the position in the epoch: a resumed run reads what an uninterrupted one would have read.
    All ranks make equally many batches of one size.

    Args:
        train: The shards, and what an epoch is.
        batch_size: Samples of one rank's batch.
        workers: Reading processes of each rank; 0 reads in the training process.
        views: Make what the model sees of a sample.
        tokenizer: List of K strings → int64 (K, L); picklable, as it is sent to the workers.
        seed: The same on every rank.
        val: The held-out samples of the validation loss; None: there are none.
        image_size: Pixels per side, as evaluations see an image; for `held_out`.
        shuffle: How an epoch is mixed.
        caption_key: The key of the `json` members that holds a caption or a list of captions; None
            takes captions from the `txt` members.
        caption_keys: Several keys with weights, in place of one; see `Captions`.
        text: "fixed" pads all tokens to L; "variable" to the longest caption of the batch.
        text_length: For "variable": tokens (K, L) → how many of each row count (K,); picklable.
        length_bucket: Batches that each worker sorts by caption length together; None: unsorted.
        decoder: How JPEGs become pixels: "faithful", "fast" or "draft", see `Decoder.images`.
        pin_memory: Whether batches are in page-locked memory, if there is a GPU.
        prefetch: Batches that each worker makes ahead.
        max_skipped: The share of samples that may be lost before the run stops, for
            `callbacks.skipped`; None: all.
        prepare: Makes the shards if they are missing; called first, in one process.
        allow_pipe: Whether shards may be commands (`pipe:COMMAND`).

    Attributes:
        held_out: After `setup`, the batches of the validation loss, the same in each iteration:
            see `HeldOutBatches`. None if there are none. Each sample is seen as evaluations see
            it; where the run has several views of a sample, these are drawn, once for all times.

    Raises:
        ValueError: From `setup`, if the shards are missing or too few; from the loader, if they
            hold no usable sample.
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
        val: ValSource | None = None,
        image_size: int = 224,
        shuffle: Shuffle | None = None,
        caption_key: str | None = None,
        caption_keys: Mapping[str, float] | None = None,
        text: str = "fixed",
        text_length: TextLength | None = None,
        length_bucket: int | None = None,
        decoder: str = "fast",
        pin_memory: bool = True,
        prefetch: int = 2,
        max_skipped: float | None = None,
        prepare: Callable[[], object] | None = None,
        allow_pipe: bool = False,
    ) -> None:
        super().__init__()
        checks.whole("data.batch_size", batch_size)
        checks.whole("data.workers", workers, least=0)
        checks.whole("data.prefetch", prefetch)
        checks.number("data.max_skipped", max_skipped, least=0, most=1, optional=True)
        check_text(text, length_bucket, caption_key, caption_keys)
        assert text == "fixed" or text_length, "needed to know what padding is"
        self.train = train
        self.val = val or ValSource()
        self.batch_size = batch_size
        self.workers = workers
        self.seed = seed
        self.length_bucket = length_bucket
        self.max_skipped = max_skipped
        self.shuffle = shuffle or Shuffle()
        self.prepare = prepare
        self.allow_pipe = allow_pipe is True  # not 'false', a text
        self.epochs: Epochs | None = None
        self.held_out: BatchLoader | None = None
        self.small = False
        self.broken: dict[str, tuple[str, str]] = {}
        self.transfer = Transfer()
        self._views, self._image_size = views, image_size
        self._decoder = Decoder(caption_keys or caption_key, decoder)
        variable = text_length if text == "variable" else None
        self._batches = partial(
            Batches,
            decoder=self._decoder,
            views=views,
            tokenizer=tokenizer,
            text_length=variable,
            bucket=length_bucket,
            batch_size=batch_size,
            seed=seed,
        )
        self._held_out_batches = partial(
            HeldOutBatches, decoder=self._decoder, tokenizer=tokenizer, text_length=variable
        )
        self._load = partial(BatchLoader, workers=workers, prefetch=prefetch, pin_memory=pin_memory)
        self._loader: weakref.ref[BatchLoader] | None = None

    @property
    def ranks(self) -> int:
        return self.trainer.world_size if self.trainer else 1

    @property
    def rank(self) -> int:
        return self.trainer.global_rank if self.trainer else 0

    def epoch(self) -> int:
        """The epoch whose order the next iteration takes."""
        # Not `trainer.current_epoch`, which lags by one when a run that counts steps resumes from
        # the end of an epoch.
        if not self.trainer:
            return 0
        progress: Any = self.trainer.fit_loop.epoch_progress.current
        return progress.processed

    def used(self) -> int:
        """Batches of this epoch that the training has used."""
        assert self.trainer is not None
        progress: Any = self.trainer.fit_loop.epoch_loop.batch_progress.current
        return progress.processed

    def place(self, position: Mapping[str, Any]) -> tuple[int, int]:
        """The epoch in which a saved loader's position lies here, and the batches before it."""
        assert self.epochs is not None and self.trainer is not None, "setup('fit') comes first"
        readers = max(1, self.workers)
        here = order(self.epochs, self.seed, self.ranks, readers, self.length_bucket)
        state, _ = moved(position, here)
        length, limit = self.epochs.batches(self.ranks), self.trainer.limit_train_batches
        length = min(length, limit) if isinstance(limit, int) else int(length * limit)
        if state["batch"] >= length:
            return state["epoch"] + 1, 0
        return state["epoch"], state["batch"]

    def prepare_data(self) -> None:
        if self.prepare is not None:
            self.prepare()

    def setup(self, stage: str) -> None:
        if stage == "fit" and self.epochs is None:
            self._open()
            self._open_held_out()

    def _open(self) -> None:
        train, sources = self.train, self.train.sources(self.allow_pipe)
        urls = [url for source in sources for url in source.urls]
        if absent := missing(urls):
            raise ValueError(
                f"data.train.shards: {absent[0]!r} does not exist "
                f"({len(absent)} of {len(urls)} missing)"
            )
        sizes = dict(zip(urls, shard_sizes(urls), strict=True))
        shards = tuple(
            Shards(source.urls, tuple(sizes[url].samples for url in source.urls))
            for source in sources
        )
        for source in shards:
            if source.total == 0:
                broken = sizes[source.urls[0]].broken
                problem = broken[1] if broken else "no member is named KEY.EXTENSION"
                raise ValueError(
                    f"data.train.shards: no sample in {name_all(source.urls)}: {problem}"
                )
        unknown = next((url for url, size in sizes.items() if size.samples is None), None)
        if unknown is not None and not train.resampled:
            raise ValueError(
                f"data.train.shards: the number of samples in {unknown!r} is unknown, and exact "
                "epochs need it; set data.train.resampled=true and "
                "data.train.samples_per_epoch=N, or use local shards"
            )
        if unknown is not None and train.samples_per_epoch is None:
            raise ValueError(
                "data.train.samples_per_epoch=null: the number of samples in "
                f"{unknown!r} is unknown; set data.train.samples_per_epoch=N"
            )
        ranks, workers = self.ranks, max(1, self.workers)
        if len(urls) < ranks * workers and not train.resampled:
            raise ValueError(
                f"data.train.shards: {len(urls)} shards are too few for {ranks} ranks x "
                f"{workers} workers = {ranks * workers} readers; lower data.workers or "
                "trainer.devices, make more shards, or set data.train.resampled=true"
            )
        advice = next((size.advice for size in sizes.values() if size.advice), None)
        length = train.samples_per_epoch or sum(source.total or 0 for source in shards)
        batch = ranks * self.batch_size
        if length < batch:
            setting = "samples_per_epoch" if train.resampled else "shards"
            raise ValueError(
                f"data.train.{setting}: {length} samples per epoch are fewer than one batch of all "
                f"ranks ({ranks} ranks x data.batch_size {self.batch_size} = {batch}); "
                f"{advice or 'lower data.batch_size'}"
            )
        if train.resampled:
            weights = tuple(source.weight or 1.0 for source in sources)
            self.epochs = ResampledEpochs(
                shards, weights, length, batch_size=self.batch_size, shuffle=self.shuffle
            )
        else:
            self.epochs = ExactEpochs(shards[0], batch_size=self.batch_size, shuffle=self.shuffle)
        self.small = (size_in_bytes(urls) or _SMALL + 1) <= _SMALL
        self.broken = {url: size.broken for url, size in sizes.items() if size.broken}
        if self.rank == 0:
            logger.info(
                "%d training shards, %d batches of %d x %d samples per epoch",
                len(urls),
                self.epochs.batches(ranks),
                ranks,
                self.batch_size,
            )

    def _open_held_out(self) -> None:
        assert self.epochs is not None
        read = ShardReader(self._decoder.captions.members)
        order = open_order(self.val, self.ranks, self.epochs.urls, read, self.allow_pipe)
        if order is None:
            return
        one = self._views.image_views == self._views.text_views == 1
        batches = self._held_out_batches(
            order,
            views=Plain(self._image_size) if one else self._views,
            batch_size=order.batch_size,
            seed=0,  # the same views in all runs
            rank=self.rank,
            ranks=self.ranks,
        )
        self.held_out = self._load(batches, epoch=lambda: 0)

    def train_dataloader(self) -> BatchLoader:
        assert self.epochs is not None, "setup('fit') comes first"
        self.teardown("fit")
        batches = self._batches(
            self.epochs,
            rank=self.rank,
            ranks=self.ranks,
            keep=self.small,
            broken=self.broken,
        )
        loader = self._load(batches, epoch=self.epoch, used=self.used)
        self._loader = weakref.ref(loader)  # it refers to this module; see its `close` about cycles
        return loader

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        return self.transfer(batch, device)

    def teardown(self, stage: str) -> None:
        loader = self._loader() if self._loader else None
        if stage == "fit" and loader is not None:
            loader.close()
