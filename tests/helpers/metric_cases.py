"""Every metric class with rows to feed it, block by block as evaluations do."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize
from torchmetrics import Metric

from cyclip_pl.metrics.accuracy import PerClassAccuracy, PredictionAccuracy, TopKAccuracy
from cyclip_pl.metrics.alignment import CaptionAlignment, LabelAlignment
from cyclip_pl.metrics.baseline import Baseline
from cyclip_pl.metrics.consistency import ConsistencyScore
from cyclip_pl.metrics.effective_rank import EffectiveRank
from cyclip_pl.metrics.effective_robustness import EffectiveRobustness
from cyclip_pl.metrics.hierarchy import HierarchyAccuracy
from cyclip_pl.metrics.inconsistency import Inconsistency
from cyclip_pl.metrics.knn import KNNAccuracy, knn_predictions
from cyclip_pl.metrics.modality_gap import ModalityGap
from cyclip_pl.metrics.neighbours import labels_of_nearest, majority
from cyclip_pl.metrics.projections import JointPCA, SimilarityHistogram
from cyclip_pl.metrics.retrieval import RetrievalRecall
from cyclip_pl.metrics.uniformity import CaptionUniformity, LabelUniformity

WIDTH, CLASSES = 12, 7


@dataclass
class Rows:
    """Rows of a small labelled and captioned set, two captions per image in turn with one."""

    image_ND: Tensor
    class_KD: Tensor
    label_N: Tensor
    text_MD: Tensor
    image_of_text_M: Tensor
    train_MD: Tensor

    @property
    def train_label_M(self) -> Tensor:
        return torch.arange(len(self.train_MD)) % CLASSES

    @property
    def first_ND(self) -> Tensor:
        """The first caption of each image."""
        first = torch.searchsorted(self.image_of_text_M, torch.arange(len(self.image_ND)))
        return self.text_MD[first]

    def captions(self, block: slice) -> tuple[Tensor, Tensor, Tensor]:
        """Images, their captions and the image of each, as `RetrievalRecall` takes them."""
        mine_M = (self.image_of_text_M >= block.start) & (self.image_of_text_M < block.stop)
        return (
            self.image_ND[block],
            self.text_MD[mine_M],
            self.image_of_text_M[mine_M] - block.start,
        )


def rows(images: int, seed: int = 0) -> Rows:
    """float32, unit-norm; class `CLASSES - 1` has no image, and two images are the same."""
    generator = torch.Generator().manual_seed(seed)

    def unit(n: int) -> Tensor:
        return normalize(torch.randn(n, WIDTH, generator=generator), dim=1)

    image_ND = unit(images)
    image_ND[-1] = image_ND[0]
    image_of_text_M = torch.arange(images).repeat_interleave(torch.arange(images) % 2 + 1)
    text_MD = normalize(image_ND[image_of_text_M] + 0.9 * unit(len(image_of_text_M)), dim=1)
    label_N = torch.randint(0, CLASSES - 1, (images,), generator=generator)
    return Rows(image_ND, unit(CLASSES), label_N, text_MD, image_of_text_M, unit(40))


def _neighbours(x: Rows, b: slice) -> tuple[Tensor, Tensor]:
    return labels_of_nearest(x.image_ND[b], x.train_MD, x.train_label_M, 10)


def _scores(x: Rows, b: slice) -> tuple[Tensor, Tensor]:
    return x.image_ND[b] @ x.class_KD.T, x.label_N[b]


def _predictions(x: Rows, b: slice) -> Tensor:
    return _scores(x, b)[0].argmax(1)


CASES: dict[str, tuple[Callable[[], Metric], Callable[[Rows, slice], tuple[Any, ...]]]] = {
    "top_k": (lambda: TopKAccuracy(CLASSES), _scores),
    "per_class": (lambda: PerClassAccuracy(CLASSES), _scores),
    "prediction": (
        lambda: PredictionAccuracy(CLASSES),
        lambda x, b: (_predictions(x, b), x.label_N[b]),
    ),
    "hierarchy": (lambda: HierarchyAccuracy(torch.arange(CLASSES) % 3), _scores),
    "consistency": (
        lambda: ConsistencyScore((1, 5, 10)),
        lambda x, b: (_predictions(x, b), majority(_neighbours(x, b)[1])),
    ),
    "knn": (
        lambda: KNNAccuracy(CLASSES, (1, 10)),
        lambda x, b: (knn_predictions(*_neighbours(x, b), (1, 10)), x.label_N[b]),
    ),
    "retrieval": (RetrievalRecall, Rows.captions),
    "label_alignment": (
        LabelAlignment,
        lambda x, b: (x.image_ND[b], x.class_KD[x.label_N[b]]),
    ),
    "caption_alignment": (CaptionAlignment, lambda x, b: (x.image_ND[b], x.first_ND[b])),
    "label_uniformity": (
        lambda: LabelUniformity(CLASSES),
        lambda x, b: (x.image_ND[b], x.class_KD, x.label_N[b]),
    ),
    "caption_uniformity": (
        CaptionUniformity,
        lambda x, b: (x.image_ND[b], x.first_ND, torch.arange(len(x.image_ND))[b]),
    ),
    "modality_gap": (
        lambda: ModalityGap(WIDTH),
        lambda x, b: (x.image_ND[b], x.first_ND[b]),
    ),
    "inconsistency": (
        lambda: Inconsistency(WIDTH),
        lambda x, b: (x.image_ND[b], x.first_ND[b]),
    ),
    "effective_rank": (lambda: EffectiveRank(WIDTH), lambda x, b: (x.image_ND[b],)),
    "effective_robustness": (
        lambda: EffectiveRobustness(Baseline(0.9, -0.1)),
        lambda x, b: (_predictions(x, b) == x.label_N[b], (b.start // 8) % 2 == 1),
    ),
    "histogram": (
        lambda: SimilarityHistogram(20),
        lambda x, b: (x.image_ND[b], x.class_KD, x.label_N[b], torch.arange(CLASSES)),
    ),
    "pca": (lambda: JointPCA(WIDTH), lambda x, b: (x.image_ND[b], x.first_ND[b])),
}
"""By name: how to make the metric, and what to update it with for a block of rows."""


def blocks(total: int, size: int = 8) -> list[slice]:
    """The whole batches of an evaluation."""
    return [slice(start, min(start + size, total)) for start in range(0, total, size)]


def fed(name: str, x: Rows, given: Iterable[slice]) -> Metric:
    """The metric of this name after an update with each of these blocks."""
    make, arguments = CASES[name]
    metric = make()
    for block in given:
        metric.update(*arguments(x, block))
    return metric


def plain(value: Any) -> Any:
    """What `compute` returned, as lists and floats; None for nan, which is not equal to itself."""
    if isinstance(value, dict):
        return {name: plain(of) for name, of in value.items()}
    if isinstance(value, Tensor):
        return plain(value.tolist())
    if isinstance(value, list):
        return [plain(of) for of in value]
    return None if math.isnan(value) else value
