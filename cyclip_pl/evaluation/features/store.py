"""Features of a model, computed once and shared by all evaluations of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from cyclip_pl import checks
from cyclip_pl.distributed import sum_over_ranks, world_size
from cyclip_pl.evaluation.features.blocks import EncodedImages, Rows, blocks_of_rank
from cyclip_pl.evaluation.features.cache import FeatureCache
from cyclip_pl.evaluation.features.class_cache import ClassCache
from cyclip_pl.evaluation.features.classifier import Classifier, class_embeddings
from cyclip_pl.evaluation.features.encode import device_of, encode_images, encode_texts
from cyclip_pl.evaluation.features.modes import evaluation_mode
from cyclip_pl.evaluation.sets.interface import ImageSet
from cyclip_pl.evaluation.watch import Watch
from cyclip_pl.types import FeatureModel, Model


class FeatureStore:
    """A model's embeddings of images and texts, each computed at its first use.

    It lives as long as the weights stay as they are: for a run of `eval.py`, for one round of
    evaluations in training. Sets are identified by their content, so evaluations may open their
    own. The work is dealt to the ranks in whole batches, and images stay where they were encoded:
    each rank has its share. Texts and classes are whole on every rank. Results are those of one
    process, to the last bit. All ranks call every method together.

    Args:
        model: Whose features; put into eval mode while it computes, and back.
        batch_size: Images, and texts, encoded at once; None for 64 on a CPU, whose caches hold no
            more, and 256 elsewhere.
        workers: Processes that decode images; None for threads, see `encode_images`.
        cache: A folder to keep features of images, and classes, in beyond this run, see
            `FeatureCache` and `ClassCache`.
        watch: Told what is being encoded.
        lanes: Batches of images that are encoded side by side, see `encode_images`.

    Attributes:
        model, batch_size, workers, watch, lanes: As given.
        keep_features: Keep the features of every set from now on, so that asking for them later
            costs no second pass.
        keep_rows: Whether `each_block` keeps what it has encoded; False where one evaluation alone
            asks for each set, so that memory does not grow with the set.

    Raises:
        ValueError: One line that names the setting.
    """

    def __init__(
        self,
        model: Model,
        batch_size: int | None = None,
        workers: int | None = None,
        cache: str | Path | None = None,
        watch: Watch | None = None,
        lanes: int = 1,
    ) -> None:
        checks.whole("features.batch_size", batch_size, optional=True)
        checks.whole("features.workers", workers, least=0, optional=True)
        if batch_size is None:
            batch_size = 64 if device_of(model).type == "cpu" else 256
        self.model = model
        self.batch_size = batch_size
        self.workers = workers
        self.lanes = lanes
        self.watch = watch or Watch()
        self.keep_features = False
        self.keep_rows = True
        self._cache = None if cache is None else FeatureCache(cache, model, batch_size)
        self._images: dict[str, EncodedImages] = {}
        self._row_of_text: dict[str, int] = {}
        self._text_UD: Tensor | None = None
        self._classifiers: dict[tuple[tuple[str, ...], ...], Classifier] = {}

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return device_of(self.model)

    @property
    def double_device(self) -> torch.device:
        """Where evaluations compute: with the model, but for Apple's GPUs, which lack float64."""
        return self.device if self.device.type != "mps" else torch.device("cpu")

    def images(self, dataset: ImageSet, features: bool = False) -> EncodedImages:
        """This rank's share of a set's images; with features if asked for and the model has them.

        Raises:
            ValueError: No image of the set can be decoded.
        """
        has = isinstance(self.model, FeatureModel)
        known = self._images.get(dataset.fingerprint)
        if known is None or (features and has and known.rows.feature_nF is None):
            known = self._encoded(dataset, has and (features or self.keep_features))
            self._images[dataset.fingerprint] = known
        return known

    def each_block(self, dataset: ImageSet, use: Callable[[Rows], None]) -> EncodedImages:
        """Hand this rank's rows to `use`, a batch at a time; at least once, perhaps without rows.

        Returns:
            As `images`, but perhaps without embeddings and features: see `keep_rows`.
        """
        kept = self.keep_rows or self._cache is not None or dataset.fingerprint in self._images
        if not kept:
            return self._encoded(dataset, False, use)
        images = self.images(dataset)
        for block in images.blocks:
            use(block)
        return images

    def _encoded(
        self, dataset: ImageSet, features: bool, use: Callable[[Rows], None] | None = None
    ) -> EncodedImages:
        found = self._cached(dataset, features)
        if found is None:
            with evaluation_mode(self.model):
                found = encode_images(
                    self.model,
                    dataset,
                    self.batch_size,
                    self.workers,
                    features,
                    self.watch,
                    self.lanes,
                    use=use,
                )
            if self._cache is not None:
                self._cache.write(dataset.fingerprint, *found)
        rows, sizes = found
        total = self._sum(len(rows))
        if not total:
            raise ValueError(f"{dataset.name}: none of its {len(dataset)} images can be decoded")
        return EncodedImages(rows, list(sizes.values()), total)

    def _cached(self, dataset: ImageSet, features: bool) -> tuple[Rows, dict[int, int]] | None:
        if self._cache is None:
            return None
        dealt = blocks_of_rank(len(dataset), self.batch_size)
        positions = [batch.start for batch, real in dealt if real]
        found = self._cache.read(dataset.fingerprint, positions, features)
        # Encoding is done by all ranks or none, and each may have a disk of its own.
        return found if self._sum(int(found is not None)) == world_size() else None

    def _sum(self, value: int) -> int:
        return int(sum_over_ranks(torch.tensor(value, device=self.device)))

    def texts(self, texts: Sequence[str]) -> Tensor:
        """(K, D), float32 unit-norm rows on the CPU; equal texts have the very same row."""
        self.encode_texts(texts)
        assert self._text_UD is not None
        row = [self._row_of_text[text] for text in texts]
        return self._text_UD[torch.tensor(row, dtype=torch.int64)]

    def encode_texts(self, texts: Sequence[str]) -> None:
        """Encode those that are new; afterwards `texts` finds them without the other ranks."""
        new = [text for text in dict.fromkeys(texts) if text not in self._row_of_text]
        if new:
            with evaluation_mode(self.model):
                new_UD = encode_texts(self.model, new, self.batch_size, self.watch)
            for text in new:
                self._row_of_text[text] = len(self._row_of_text)
            known = [] if self._text_UD is None else [self._text_UD]
            self._text_UD = torch.cat([*known, new_UD])

    def classifier(self, classnames: Sequence[str], prompts: Sequence[Sequence[str]]) -> Classifier:
        """Class embeddings, each the mean of its prompts'; see `class_embeddings`."""
        key = (tuple(classnames), *map(tuple, prompts))
        if key not in self._classifiers:
            self._classifiers[key] = self._classes(classnames, prompts)
        return self._classifiers[key]

    def _classes(self, classnames: Sequence[str], prompts: Sequence[Sequence[str]]) -> Classifier:
        def encode() -> Classifier:
            with evaluation_mode(self.model):
                return class_embeddings(
                    self.model, classnames, prompts, self.batch_size, self.watch
                )

        if self._cache is None:
            return encode()
        return ClassCache(self._cache, self.model).classifier(classnames, prompts, encode)
