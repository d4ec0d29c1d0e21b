"""Consistency score: do the zero-shot prediction and the image's neighbours agree?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from cyclip_pl import checks
from cyclip_pl.evaluation.features.rows import double_device, within
from cyclip_pl.evaluation.features.store import FeatureStore
from cyclip_pl.evaluation.protocols.zero_shot import classify
from cyclip_pl.evaluation.results import Results
from cyclip_pl.evaluation.sets.library import Library, TrainTest
from cyclip_pl.evaluation.sets.setting import Sets, named_sets
from cyclip_pl.evaluation.sets.templates import PromptSource
from cyclip_pl.metrics.bootstrap import PROTOCOL, with_intervals
from cyclip_pl.metrics.neighbours import labels_of_nearest, majority


def majority_labels(
    test_ND: Tensor,
    train_MD: Tensor,
    train_label_M: Tensor,
    ks: Sequence[int] = (1, 3, 5, 10, 30),
    device: torch.device | str | None = None,
) -> dict[int, Tensor]:
    """k -> the majority label of each test image's k nearest labelled training images.

    By cosine; a tie among labels drops the farthest neighbour until one is the most frequent
    (arXiv 2205.14459). The order of equal cosines and the memory are those of
    `neighbours.nearest`.

    Args:
        test_ND: Image embeddings, (N, D).
        train_MD: Embeddings of the labelled training images, (M, D).
        train_label_M: Their classes, int64.
        ks: Each at most M.
        device: Where to search; that of the test images if None.

    Returns:
        int64, (N,), on the CPU; -1 where what is most frequent is not finite.

    Raises:
        ValueError: The largest k is more than M.
    """
    assert all(k >= 1 for k in ks)
    if not ks:
        return {}
    _, label_Nk = labels_of_nearest(test_ND, train_MD, train_label_M, max(ks), device)
    winner_Nk = majority(label_Nk).cpu()
    return {k: winner_Nk[:, k - 1] for k in ks}


def agree(prediction_N: Tensor, majority_N: Tensor) -> Tensor:
    """Where they are the same class; -1, not finite, is none: bool, (N,)."""
    return (prediction_N == majority_N) & (majority_N >= 0)


class Consistency:
    """Share of test images whose zero-shot prediction is the majority label of their neighbours.

    Neighbours are the k nearest labelled training images (CyCLIP, arXiv 2205.14459), see
    `majority_labels`. Figures of a set: `k<k>` for each k, with the bounds `k<k>_low` and
    `k<k>_high` of `bootstrap`; `samples`, and `train_samples`, the images of either split that
    could be decoded. A k above the number of training images is left out.

    Args:
        datasets: Sets, see `open_labelled`, or names with sets.
        split: The split to classify.
        train_split: The split of labelled training images beside it.
        templates: Prompts, see `PromptSource`.
        ks: The numbers of neighbours.
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
        train_split: str = "train",
        templates: str | Sequence[str] | Mapping[str, Any] | None = None,
        ks: Sequence[int] = (1, 3, 5, 10, 30),
        name: str = "consistency",
        library: Library | None = None,
    ) -> None:
        self.name = name
        self.library = library or Library()
        self.specs = named_sets(datasets, f"evaluation.{name}.datasets")
        self.split = split
        self.train_split = train_split
        self.templates = PromptSource(templates, f"evaluation.{name}.templates")
        self.ks = checks.whole_numbers(f"evaluation.{name}.ks", ks)
        self._sets: list[TrainTest] | None = None

    def open(self) -> None:
        """Read the names, labels and places of all sets, once.

        Raises:
            ValueError: One line that names the setting and the file.
        """
        if self._sets is None:
            setting = f"evaluation.{self.name}.datasets"
            sets = self.library.splits(self.specs, self.train_split, self.split, setting)
            for both in sets:
                self.templates.prompts(both.test)
            self._sets = sets

    def __call__(self, store: FeatureStore) -> Results:
        """All ranks enter together.

        Raises:
            ValueError: No image of a split can be decoded.
        """
        self.open()
        assert self._sets is not None
        results = Results()
        for both in self._sets:
            self._add(results, both, store)
        return results

    def _add(self, results: Results, both: TrainTest, store: FeatureStore) -> None:
        test, prompts = both.test, self.templates.prompts(both.test)
        images, train = store.images(test), store.images(both.train)
        classifier = store.classifier(test.classnames, prompts)
        _, prediction_N, _ = classify(images, classifier, store.device)
        ks = within(self.ks, len(train), test)
        labels = majority_labels(
            images.embedding_ND, train.embedding_ND, train.label_N, ks, double_device(store)
        )
        agrees = {k: agree(prediction_N, labels[k]) for k in ks}
        results.add(
            test.name,
            self.name,
            figures={
                **with_intervals(
                    {f"k{k}": agree_N.double().mean().item() for k, agree_N in agrees.items()},
                    {f"k{k}": agree_N for k, agree_N in agrees.items()},
                ),
                "samples": len(images),
                "train_samples": len(train),
            },
            details={
                "protocol": {
                    "split": self.split,
                    "train_split": self.train_split,
                    "templates": self.templates.title,
                    "ties": "drop the farthest neighbour",
                    "interval": PROTOCOL,
                }
            },
            predictions={
                "index": images.index_N.tolist(),
                "key": [test.key(index) for index in images.index_N.tolist()],
                "label": images.label_N.tolist(),
                "prediction": prediction_N.tolist(),
                **{f"majority_k{k}": labels[k].tolist() for k in ks},
            },
        )
