"""What probes and neighbours look at: rows of a set's images, and how many there are."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
from torch import Tensor

from cyclip_pl.distributed import rank
from cyclip_pl.evaluation.features.store import EncodedImages, FeatureStore
from cyclip_pl.evaluation.sets.interface import LabelledSet

logger = logging.getLogger(__name__)


def within(ks: Sequence[int], rows: int, dataset: LabelledSet) -> list[int]:
    """The k's that so many training images have; the log says which are left out."""
    if (left_out := [k for k in ks if k > rows]) and rank() == 0:
        logger.warning(
            "%s: no k of %s, it has %d training images",
            dataset.name,
            ", ".join(map(str, left_out)),
            rows,
        )
    return [k for k in ks if k <= rows]


def rows_of(images: EncodedImages) -> Tensor:
    """What a probe looks at: the features, or the embeddings where the model gives none."""
    return images.embedding_ND if images.feature_NF is None else images.feature_NF


def what_rows(images: EncodedImages) -> str:
    """Which of them, for the details."""
    return "embeddings" if images.feature_NF is None else "features"


def double_device(store: FeatureStore) -> torch.device:
    """Where to compute in float64: with the model, but for Apple's GPUs, which know none."""
    return store.device if store.device.type != "mps" else torch.device("cpu")
