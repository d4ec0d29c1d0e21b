"""Class embeddings on disk, beside the images' features."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from cyclip_pl.distributed import rank, sum_over_ranks, world_size
from cyclip_pl.evaluation.features.cache import FeatureCache, digest, read_tensors, write_tensors
from cyclip_pl.evaluation.features.classifier import Classifier
from cyclip_pl.evaluation.features.encode import device_of
from cyclip_pl.evaluation.features.modes import evaluation_mode
from cyclip_pl.types import Model


class ClassCache:
    """A file for each model and list of classes with their prompts.

    The key hashes the model as `FeatureCache` does, the names and prompts, the tokens of the
    prompts (which a changed tokenizer shows in), and the first prompt's embedding (which a changed
    attribute or precision shows in).

    Args:
        cache: Whose folder, and whose part of the key.
        model: The model of that cache.
    """

    def __init__(self, cache: FeatureCache, model: Model) -> None:
        self._cache = cache
        self._model = model

    def path(self, classnames: Sequence[str], prompts: Sequence[Sequence[str]]) -> Path:
        """Where the embeddings of these classes are, or would be; all ranks ask together."""
        texts = [text for of_class in prompts for text in of_class]
        with evaluation_mode(self._model):
            first_1D = self._model.encode_text(texts[:1]).float()
        named = [("tokens", self._model.tokenizer(texts)), ("first", first_1D)]
        what = json.dumps([self._cache.of_model, list(classnames), [*map(list, prompts)]])
        key = hashlib.sha256(f"{what}\n{digest(named)}".encode()).hexdigest()
        return self._cache.folder / f"{key}-classes.safetensors"

    def classifier(
        self,
        classnames: Sequence[str],
        prompts: Sequence[Sequence[str]],
        encode: Callable[[], Classifier],
    ) -> Classifier:
        """From its file; or of `encode`, and into the file."""
        path = self.path(classnames, prompts)
        tensors = read_tensors(path) if path.exists() else None
        found = None if tensors is None else Classifier(**tensors)
        # Encoding is done by all ranks or none, and each may have a disk of its own.
        have = torch.tensor(int(found is not None), device=device_of(self._model))
        everywhere = int(sum_over_ranks(have)) == world_size()
        if found is not None and everywhere:
            return found
        found = encode()
        if rank() == 0:  # every rank has the same
            write_tensors(path, vars(found))
        return found
