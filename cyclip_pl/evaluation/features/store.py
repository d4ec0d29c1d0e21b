"""Features of a model, computed once and shared by all evaluations of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from cyclip_pl.distributed import rank, sum_over_ranks, world_size
from cyclip_pl.evaluation.features.cache import FeatureCache
from cyclip_pl.evaluation.features.classifier import Classifier, class_embeddings
from cyclip_pl.evaluation.features.encode import device_of, encode_images, encode_texts
from cyclip_pl.evaluation.features.modes import evaluation_mode
from cyclip_pl.evaluation.sets.interface import ImageSet
from cyclip_pl.types import FeatureModel, Model


@dataclass
class EncodedImages:
    """The N decodable images of a set, in its order; on the CPU, the same on every rank.

    Attributes:
        embedding_ND: float32, unit-norm rows.
        feature_NF: float32, the frozen encoder's features, not normalised, for linear probes;
            None if nothing asked for them, or the model gives none.
        index_N: int64, positions in the set, increasing.
        label_N: int64, the set's labels of these; -1 throughout where it has none.
    """

    embedding_ND: Tensor
    feature_NF: Tensor | None
    index_N: Tensor
    label_N: Tensor

    def __len__(self) -> int:
        return len(self.index_N)


class FeatureStore:
    """A model's embeddings of images and texts, each computed at its first use.

    It lives as long as the weights stay as they are: for a run of `eval.py`, for one round of
    evaluations in training. Sets are told apart by their content, so evaluations may open their
    own. The work is dealt to the ranks in whole batches: results are those of one process, to the
    last bit, without padded duplicates. All ranks call every method together.

    Args:
        model: Whose features; put into eval mode while it computes, and back.
        batch_size: Images, and texts, encoded at once.
        workers: Processes that decode images; 0 decodes in this one.
        cache: A folder to keep images' features in beyond this run, see `FeatureCache`.

    Attributes:
        model, batch_size, workers: As given.
        keep_features: Keep `feature_NF` of every set from now on, so that asking for it later
            costs no second pass.

    Raises:
        ValueError: One line that names the setting.
    """

    def __init__(
        self,
        model: Model,
        batch_size: int = 256,
        workers: int = 0,
        cache: str | Path | None = None,
    ) -> None:
        for setting, value, least in (("batch_size", batch_size, 1), ("workers", workers, 0)):
            if type(value) is not int or value < least:
                raise ValueError(
                    f"features.{setting} must be a whole number of at least {least}; got {value!r}"
                )
        self.model = model
        self.batch_size = batch_size
        self.workers = workers
        self.keep_features = False
        self._cache = None if cache is None else FeatureCache(cache, model, batch_size)
        self._images: dict[str, EncodedImages] = {}
        self._row_of_text: dict[str, int] = {}
        self._text_UD: Tensor | None = None
        self._classifiers: dict[tuple[tuple[str, ...], ...], Classifier] = {}

    @property
    def device(self) -> torch.device:
        """Where the model computes, and evaluations may."""
        return device_of(self.model)

    def images(self, dataset: ImageSet, features: bool = False) -> EncodedImages:
        """A set's images; with `feature_NF` if `features` is set and the model gives them.

        Raises:
            ValueError: No image of the set can be decoded.
        """
        known = self._images.get(dataset.fingerprint)
        if known is None or (features and known.feature_NF is None):
            known = self._encode(dataset, features or self.keep_features)
            self._images[dataset.fingerprint] = known
        return known

    def _encode(self, dataset: ImageSet, features: bool) -> EncodedImages:
        found = self._cached(dataset, features)
        if found is None:
            found = self._computed(dataset, features)
        index_N = found["index_N"]
        label_N = getattr(dataset, "label_N", None)
        return EncodedImages(
            embedding_ND=found["embedding_ND"],
            feature_NF=found.get("feature_NF"),
            index_N=index_N,
            label_N=torch.full_like(index_N, -1) if label_N is None else label_N[index_N],
        )

    def _cached(self, dataset: ImageSet, features: bool) -> dict[str, Tensor] | None:
        if self._cache is None:
            return None
        found = self._cache.read(dataset.fingerprint)
        if found is not None and features and isinstance(self.model, FeatureModel):
            found = found if "feature_NF" in found else None
        # Encoding is done by all ranks or none, and the cache may be a disk of each its own.
        ranks_with_it = sum_over_ranks(torch.tensor(float(found is not None), device=self.device))
        return found if ranks_with_it == world_size() else None

    def _computed(self, dataset: ImageSet, features: bool) -> dict[str, Tensor]:
        with evaluation_mode(self.model):
            embedding_ND, feature_NF, index_N = encode_images(
                self.model, dataset, self.batch_size, self.workers, features
            )
        if not len(index_N):
            raise ValueError(f"{dataset.name}: none of its {len(dataset)} images can be decoded")
        found = {"embedding_ND": embedding_ND, "index_N": index_N}
        if feature_NF is not None:
            found["feature_NF"] = feature_NF
        if self._cache is not None and rank() == 0:
            self._cache.write(dataset.fingerprint, found)
        return found

    def texts(self, texts: Sequence[str]) -> Tensor:
        """(K, D), float32 unit-norm rows on the CPU; equal texts have the very same row."""
        new = [text for text in dict.fromkeys(texts) if text not in self._row_of_text]
        if new:
            with evaluation_mode(self.model):
                new_UD = encode_texts(self.model, new, self.batch_size)
            for text in new:
                self._row_of_text[text] = len(self._row_of_text)
            known = [] if self._text_UD is None else [self._text_UD]
            self._text_UD = torch.cat([*known, new_UD])
        assert self._text_UD is not None
        return self._text_UD[[self._row_of_text[text] for text in texts]]

    def classifier(self, classnames: Sequence[str], prompts: Sequence[Sequence[str]]) -> Classifier:
        """Class embeddings, each the mean of its prompts'; see `class_embeddings`."""
        key = (tuple(classnames), *map(tuple, prompts))
        if key not in self._classifiers:
            with evaluation_mode(self.model):
                self._classifiers[key] = class_embeddings(
                    self.model, classnames, prompts, self.batch_size
                )
        return self._classifiers[key]
