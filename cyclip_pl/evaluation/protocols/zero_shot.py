"""Zero-shot classification: accuracy in the top k and mean per-class recall."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch

from cyclip_pl import checks
from cyclip_pl.distributed import rank
from cyclip_pl.evaluation.features.blocks import Rows
from cyclip_pl.evaluation.features.classifier import predict
from cyclip_pl.evaluation.features.examples import cut, hits
from cyclip_pl.evaluation.features.store import FeatureStore
from cyclip_pl.evaluation.protocols.base import Prompts, Protocol
from cyclip_pl.evaluation.results import Results
from cyclip_pl.evaluation.sets.interface import LabelledSet
from cyclip_pl.evaluation.sets.library import Library
from cyclip_pl.evaluation.sets.setting import Sets, named_sets
from cyclip_pl.metrics.accuracy import TopKAccuracy, rank_of_label

logger = logging.getLogger(__name__)

_CONFUSIONS = 50  # pairs that the details name
_FAILURES = 16  # images


class ZeroShot(Protocol[LabelledSet]):
    """Zero-shot classification of several sets.

    Metrics of a set: those of `TopKAccuracy` on the images that could be decoded; `samples`, their
    number, `skipped`, the number of the others, and `classes`. A k above the number of classes is
    left out: it says nothing. Details: which of `acc1` and `mean_per_class_recall` is the set's
    own metric, accuracy per class, the pairs of classes most often confused, and the images that
    were most surely wrong.

    Args:
        datasets: Sets, see `open_labelled`, or names with sets.
        split: The split to classify.
        templates: Prompts, see `PromptSource`.
        top_k: The k's of the accuracies.
        name, library: See `Protocol`.

    Raises:
        ValueError: One line that names the setting.
    """

    def __init__(
        self,
        datasets: Sets,
        split: str = "test",
        templates: Prompts = None,
        top_k: Sequence[int] = (1, 3, 5),
        name: str = "zero_shot",
        library: Library | None = None,
    ) -> None:
        super().__init__(name, library, split, templates)
        self.specs = named_sets(datasets, self.setting("datasets"))
        self.top_k = checks.whole_numbers(self.setting("top_k"), top_k)

    def _open(self) -> list[LabelledSet]:
        sets = self.labelled(self.specs, "datasets")
        if rank() == 0:
            for dataset in sets:
                _warn(dataset, self.top_k)
        return sets

    def _add(self, results: Results, dataset: LabelledSet, store: FeatureStore) -> None:
        classifier = self.classifier(dataset, store)
        accuracy = TopKAccuracy(len(dataset.classnames), self.top_k).to(store.double_device)
        classes, scores, ranks, margins = [], [], [], []

        def score(block: Rows) -> None:
            score_nK = classifier(block.embedding_nD.to(store.double_device))
            label_n = block.label_n.to(store.double_device)
            accuracy.update(score_nK, label_n)
            class_n, score_n = predict(score_nK)
            classes.append(class_n.cpu())
            scores.append(score_n.cpu())
            ranks.append(rank_of_label(score_nK, label_n).cpu())
            margins.append((score_n - score_nK.gather(1, label_n[:, None])[:, 0]).cpu())

        images = store.each_block(dataset, score)
        predictions = images.columns(
            dataset, prediction=torch.cat(classes), score=torch.cat(scores)
        )
        label, prediction = predictions["label"], predictions["prediction"]
        predictions["correct"] = [
            true == said for true, said in zip(label, prediction, strict=True)
        ]
        rank_n, margin_N = torch.cat(ranks), images.whole(torch.cat(margins))
        failures = _failures(dataset, predictions, margin_N.tolist())
        skipped = self.skipped(dataset, images)
        results.add(
            dataset.name,
            self.name,
            {
                **accuracy.compute(),
                "samples": images.total,
                "classes": len(dataset.classnames),
                "skipped": skipped,
            },
            {
                "protocol": self.protocol(
                    templates=self.templates.title,
                    prompts=sum(map(len, self.templates.prompts(dataset))),
                    metric=dataset.metric,
                ),
                "per_class": _per_class(dataset.classnames, label, prediction),
                "confusions": _confusions(dataset.classnames, label, prediction),
                "hits": hits(dataset, images, {f"acc{k}": rank_n < k for k in accuracy.top_k}),
                "failures": failures,
            },
            predictions,
            {one["image"]: partial(dataset.image, int(one["image"])) for one in failures},
        )


def _per_class(
    classnames: Sequence[str], label: Sequence[int], prediction: Sequence[int]
) -> list[dict[str, Any]]:
    """Images and accuracy of each class; None where it has no image."""
    images = Counter(label)
    hits = Counter(true for true, said in zip(label, prediction, strict=True) if true == said)
    return [
        {"class": name, "images": images[k], "acc1": hits[k] / images[k] if images[k] else None}
        for k, name in enumerate(classnames)
    ]


def _confusions(
    classnames: Sequence[str], label: Sequence[int], prediction: Sequence[int]
) -> list[dict[str, Any]]:
    """The pairs of classes most often confused, by count, and by number among equals.

    `share` is of the true class's images.
    """
    images = Counter(label)
    pairs = Counter(zip(label, prediction, strict=True))
    wrong = [pair for pair in pairs if pair[0] != pair[1] and pair[1] >= 0]
    return [
        {
            "class": classnames[true],
            "predicted": classnames[predicted],
            "images": pairs[true, predicted],
            "share": pairs[true, predicted] / images[true],
        }
        for true, predicted in sorted(wrong, key=lambda pair: (-pairs[pair], pair))[:_CONFUSIONS]
    ]


def _failures(
    dataset: LabelledSet, predictions: Mapping[str, Sequence[Any]], margin: Sequence[float]
) -> list[dict[str, Any]]:
    """The images that the model is most sure about and wrong, by the predicted class's lead.

    `lead` is how much its cosine is above the true class's.
    """
    rows = zip(*(predictions[k] for k in ("index", "label", "prediction")), margin, strict=True)
    wrong = [row for row in rows if row[1] != row[2] >= 0]
    wrong.sort(key=lambda row: (-row[3], row[0]))
    return [
        {
            "image": str(index),
            "class": cut(dataset.classnames[label]),
            "predicted": cut(dataset.classnames[said]),
            "lead": round(lead, 4),
        }
        for index, label, said, lead in wrong[:_FAILURES]
    ]


def _warn(dataset: LabelledSet, top_k: Sequence[int]) -> None:
    """Of classes of one name, and of k's that are left out."""
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
    if left_out := ", ".join(str(k) for k in top_k if k > classes):
        logger.warning("%s: k=%s left out: only %d classes", dataset.name, left_out, classes)
