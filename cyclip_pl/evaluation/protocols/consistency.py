"""Consistency score: do the zero-shot prediction and the image's neighbours agree?"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from cyclip_pl import checks
from cyclip_pl.evaluation.features.classifier import predict
from cyclip_pl.evaluation.features.examples import hits
from cyclip_pl.evaluation.features.nearest import labels_of_nearest, within
from cyclip_pl.evaluation.features.store import FeatureStore
from cyclip_pl.evaluation.protocols.base import Prompts, Protocol
from cyclip_pl.evaluation.results import Results
from cyclip_pl.evaluation.sets.library import Library, TrainTest
from cyclip_pl.evaluation.sets.setting import Sets, named_sets
from cyclip_pl.metrics.consistency import ConsistencyScore
from cyclip_pl.metrics.neighbours import majority


class Consistency(Protocol[TrainTest]):
    """Share of test images whose zero-shot prediction is the majority label of their neighbours.

    Neighbours are the k nearest labelled training images by the cosine of the embeddings (CyCLIP,
    arXiv 2205.14459). Metrics of a set: those of `ConsistencyScore`; `samples` and
    `train_samples`, the images of either split that could be decoded. A k above the number of
    training images is left out.

    Args:
        datasets: Sets, see `open_labelled`, or names with sets.
        split: The split to classify.
        train_split: The split of labelled training images beside it.
        templates: Prompts, see `PromptSource`.
        ks: The numbers of neighbours.
        name, library: See `Protocol`.

    Raises:
        ValueError: One line that names the setting.
    """

    def __init__(
        self,
        datasets: Sets,
        split: str = "test",
        train_split: str = "train",
        templates: Prompts = None,
        ks: Sequence[int] = (1, 3, 5, 10, 30),
        name: str = "consistency",
        library: Library | None = None,
    ) -> None:
        super().__init__(name, library, split, templates)
        self.specs = named_sets(datasets, self.setting("datasets"))
        self.train_split = train_split
        self.ks = checks.whole_numbers(self.setting("ks"), ks)

    def _open(self) -> list[TrainTest]:
        setting = self.setting("datasets")
        sets = self.library.splits(self.specs, self.train_split, self.split, setting)
        for both in sets:
            self.templates.prompts(both.test)
        return sets

    def _add(self, results: Results, dataset: TrainTest, store: FeatureStore) -> None:
        images, train = store.images(dataset.test), store.images(dataset.train)
        classifier, device = self.classifier(dataset.test, store), store.double_device
        prediction_n = torch.cat(
            [predict(classifier(block.embedding_nD.to(device)))[0] for block in images.blocks]
        )
        ks = within(self.ks, train.total, dataset.test.name)
        test_nD, train_mD = images.rows.embedding_nD, train.rows.embedding_nD
        _, label_nk, _ = labels_of_nearest(test_nD, train, train_mD, max(ks, default=1), device)
        majority_nk = majority(label_nk)
        score = ConsistencyScore(ks).to(device)
        score.update(prediction_n, majority_nk)
        agrees_nk = (prediction_n[:, None] == majority_nk) & (majority_nk >= 0)
        results.add(
            dataset.test.name,
            self.name,
            {**score.compute(), "samples": images.total, "train_samples": train.total},
            {
                "protocol": self.protocol(
                    train_split=self.train_split,
                    templates=self.templates.title,
                    ties="drop the farthest neighbour",
                ),
                "hits": hits(dataset.test, images, {f"k{k}": agrees_nk[:, k - 1] for k in ks}),
            },
            images.columns(
                dataset.test,
                prediction=prediction_n,
                **{f"majority_k{k}": majority_nk[:, k - 1] for k in ks},
            ),
        )
