"""Zero-shot classification: top-k accuracy and macro recall over the classes of a set."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from cyclip_pl import checks
from cyclip_pl.distributed import rank
from cyclip_pl.evaluation.features.classifier import Classifier
from cyclip_pl.evaluation.features.store import EncodedImages, FeatureStore
from cyclip_pl.evaluation.results import Results
from cyclip_pl.evaluation.sets.interface import LabelledSet
from cyclip_pl.evaluation.sets.library import Library
from cyclip_pl.evaluation.sets.setting import Sets, named_sets
from cyclip_pl.evaluation.sets.templates import PromptSource
from cyclip_pl.metrics.accuracy import accuracy_figures, chunks, per_class, rank_of_label
from cyclip_pl.metrics.bootstrap import PROTOCOL, with_intervals

logger = logging.getLogger(__name__)

_CONFUSIONS = 50  # pairs that the details name


def classify(
    images: EncodedImages, classifier: Classifier, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Each image by its nearest class embedding, a bounded number at a time.

    Returns:
        int64 rank of the true class, 0 the best (N,); int64 predicted class (N,); float32 score
        of the prediction (N,). On the CPU. A row with a score that is not finite has the rank K
        and the prediction -1.
    """
    classes = len(classifier.column_K)
    ranks, predictions, scores = [], [], []
    for rows in chunks(len(images), classes):
        score_NK = classifier(images.embedding_ND[rows].to(device))
        best_N, predicted_N = score_NK.max(1)  # of equal scores the first
        finite_N = score_NK.isfinite().all(1)
        ranks.append(rank_of_label(score_NK, images.label_N[rows].to(device)).cpu())
        predictions.append(predicted_N.where(finite_N, -1).cpu())
        scores.append(best_N.cpu())
    return torch.cat(ranks), torch.cat(predictions), torch.cat(scores)


class ZeroShot:
    """Zero-shot classification of several sets.

    Figures of a set: `top<k>`, with the bounds `top<k>_low` and `top<k>_high` of `bootstrap`, and
    `macro_recall` (the mean over classes that have images), fractions of the images that could be
    decoded; `samples` of those, `classes` in all, and
    `skipped`, the images that could not. A k above the number of classes is left out: it says
    nothing. Details: which of `accuracy` (`top1`) and `mean_per_class` (`macro_recall`) is the
    set's own metric, accuracy per class, and the pairs of classes most often confused.

    Args:
        datasets: Sets, see `open_labelled`, or names with sets.
        split: The split to classify.
        templates: Prompts, see `PromptSource`.
        top_k: The k's of the accuracies.
        name: Its name in the configuration and in its figures.
        library: Where its sets come from; one of its own if None.

    Raises:
        ValueError: One line that names the setting.
    """

    needs_features = False

    def __init__(
        self,
        datasets: Sets,
        split: str = "test",
        templates: str | Sequence[str] | Mapping[str, Any] | None = None,
        top_k: Sequence[int] = (1, 3, 5),
        name: str = "zero_shot",
        library: Library | None = None,
    ) -> None:
        self.name = name
        self.library = library or Library()
        self.specs = named_sets(datasets, f"evaluation.{name}.datasets")
        self.split = split
        self.templates = PromptSource(templates, f"evaluation.{name}.templates")
        self.top_k = checks.whole_numbers(f"evaluation.{name}.top_k", top_k)
        self._sets: list[LabelledSet] | None = None

    def open(self) -> None:
        """Read the names, labels and places of all sets, once.

        Raises:
            ValueError: One line that names the setting and the file.
        """
        if self._sets is not None:
            return
        sets = self.library.labelled(self.specs, self.split, f"evaluation.{self.name}.datasets")
        for dataset in sets:
            self.templates.prompts(dataset)
            if rank() == 0:
                _say_what_is_odd(dataset, self.top_k)
        self._sets = sets

    def __call__(self, store: FeatureStore) -> Results:
        """All ranks enter together.

        Raises:
            ValueError: No image of a set can be decoded.
        """
        self.open()
        assert self._sets is not None
        results = Results()
        for dataset in self._sets:
            self._add(results, dataset, store)
        return results

    def _add(self, results: Results, dataset: LabelledSet, store: FeatureStore) -> None:
        prompts = self.templates.prompts(dataset)
        classifier = store.classifier(dataset.classnames, prompts)
        images = store.images(dataset)
        label_N = images.label_N
        rank_N, predicted_N, score_N = classify(images, classifier, store.device)
        classes = len(dataset.classnames)
        top_k = [k for k in self.top_k if k <= classes]
        skipped = len(dataset) - len(images)
        if skipped and rank() == 0:
            logger.warning("%s: %d of %d images left out", dataset.name, skipped, len(dataset))
        results.add(
            dataset.name,
            self.name,
            figures={
                **with_intervals(
                    accuracy_figures(rank_N, label_N, classes, top_k),
                    {f"top{k}": rank_N < k for k in top_k},
                ),
                "samples": len(images),
                "classes": classes,
                "skipped": skipped,
            },
            details={
                "protocol": {
                    "split": self.split,
                    "templates": self.templates.title,
                    "prompts": sum(map(len, prompts)),
                    "metric": dataset.metric,
                    "interval": PROTOCOL,
                },
                "per_class": _per_class(dataset.classnames, rank_N, label_N),
                "confusions": _confusions(dataset.classnames, predicted_N, label_N),
            },
            predictions={
                "index": images.index_N.tolist(),
                "key": [dataset.key(index) for index in images.index_N.tolist()],
                "label": label_N.tolist(),
                "prediction": predicted_N.tolist(),
                "score": score_N.tolist(),
                "correct": (rank_N == 0).tolist(),
            },
        )


def _per_class(classnames: Sequence[str], rank_N: Tensor, label_N: Tensor) -> list[dict[str, Any]]:
    """Images and accuracy of each class; None where it has no image."""
    image_K, hit_K = (x.tolist() for x in per_class(rank_N, label_N, len(classnames)))
    return [
        {"class": name, "images": images, "top1": hits / images if images else None}
        for name, images, hits in zip(classnames, image_K, hit_K, strict=True)
    ]


def _confusions(
    classnames: Sequence[str], predicted_N: Tensor, label_N: Tensor
) -> list[dict[str, Any]]:
    """The pairs of classes most often confused, by count, and by number among equals.

    `share` is of the true class's images.
    """
    image_K = torch.bincount(label_N, minlength=len(classnames)).tolist()
    wrong = Counter(
        pair
        for pair in zip(label_N.tolist(), predicted_N.tolist(), strict=True)
        if pair[0] != pair[1] and pair[1] >= 0
    )
    most = sorted(wrong.items(), key=lambda item: (-item[1], item[0]))[:_CONFUSIONS]
    return [
        {
            "class": classnames[true],
            "predicted": classnames[predicted],
            "images": count,
            "share": count / image_K[true],
        }
        for (true, predicted), count in most
    ]


def _say_what_is_odd(dataset: LabelledSet, top_k: Sequence[int]) -> None:
    classes = len(dataset.classnames)
    repeated = [name for name, n in Counter(dataset.classnames).items() if n > 1]
    if repeated:
        more = f" and {len(repeated) - 3} more" if len(repeated) > 3 else ""
        logger.warning(
            "%s: several classes are called %s%s; their scores are equal, the first wins",
            dataset.name,
            ", ".join(repr(name) for name in repeated[:3]),
            more,
        )
    if left_out := [k for k in top_k if k > classes]:
        logger.warning(
            "%s: no %s, it has %d classes",
            dataset.name,
            ", ".join(f"top{k}" for k in left_out),
            classes,
        )
