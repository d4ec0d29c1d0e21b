"""Linear probes of frozen features: full and few-shot."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from statistics import mean, stdev

import torch
from torch import Tensor

from cyclip_pl import checks
from cyclip_pl.distributed import world_size
from cyclip_pl.evaluation.features.blocks import EncodedImages
from cyclip_pl.evaluation.features.store import FeatureStore
from cyclip_pl.evaluation.probes.adamw_probe import adamw_probe
from cyclip_pl.evaluation.probes.dealt import dealt
from cyclip_pl.evaluation.probes.lbfgs_probe import searched_lbfgs_probe
from cyclip_pl.evaluation.probes.linear_classifier import METRICS, LinearClassifier
from cyclip_pl.evaluation.probes.row_splits import few_shot
from cyclip_pl.evaluation.protocols.base import Protocol
from cyclip_pl.evaluation.results import Results
from cyclip_pl.evaluation.sets.library import Library, TrainTest
from cyclip_pl.evaluation.sets.setting import Sets, named_sets
from cyclip_pl.metrics.accuracy import PredictionAccuracy

PROTOCOLS = ("adamw", "lbfgs")
Fit = Callable[[], tuple[LinearClassifier, float]]
"""Gives a probe and the l2 that its search found, nan without a search."""


class LinearProbe(Protocol[TrainTest]):
    """One linear layer on frozen features, by two protocols.

    It sees the encoder's features, not normalised, or the embeddings where the model gives no
    features. Metrics of a set, each as `acc1` and `mean_per_class_recall`:

    - `adamw_<metric>`: CyCLIP's protocol, see `adamw_probe`;
    - `lbfgs_<metric>`: logistic regression, see `searched_lbfgs_probe`; `lbfgs_l2`, what its
      search found;
    - `lbfgs_<shots>_shot_<metric>`: the same on so many images of each class, or all that a class
      has: the mean over the seeds, and `..._std`, their standard deviation if there are several;
    - `samples` and `train_samples`, the images of either split that could be decoded.

    `adamw_acc1` and `lbfgs_acc1` have their bounds, `..._low` and `..._high` of `bootstrap`: what
    another test set of this size would change, not another seed.

    Every rank holds all training rows and fits some of the probes; test rows stay where they are.

    Args:
        datasets: Sets, see `open_labelled`, or names with sets.
        split: The split to classify.
        train_split: The split of labelled training images beside it.
        protocols: Of `PROTOCOLS`.
        shots: Of the few-shot probes, 2 or more; empty for none. They are fitted by L-BFGS.
        seeds: Of the few-shot subsets and what is held out of them. The first is the full probes'.
        metric: What the search for the regularisation makes the highest, `acc1` or
            `mean_per_class_recall`; None for each set's own.
        val_split: Where a set has this split, the full L-BFGS probe searches on it, and is then
            fitted on it and the training split together, as in CLIP (arXiv 2103.00020, appendix
            A.3); elsewhere a part of the training split is held out. None for nowhere.
        name, library: See `Protocol`.

    Raises:
        ValueError: One line that names the setting; when it runs, that a set has no class of two
            training images, one of which could be held out.
    """

    needs_features = True

    def __init__(
        self,
        datasets: Sets,
        split: str = "test",
        train_split: str = "train",
        protocols: Sequence[str] = PROTOCOLS,
        shots: Sequence[int] = (5, 20, 50),
        seeds: Sequence[int] = (0, 1, 2),
        metric: str | None = None,
        val_split: str | None = "val",
        name: str = "linear_probe",
        library: Library | None = None,
    ) -> None:
        super().__init__(name, library, split)
        self.specs = named_sets(datasets, self.setting("datasets"))
        self.train_split = train_split
        self.protocols = (protocols,) if isinstance(protocols, str) else tuple(protocols)
        for protocol in self.protocols:
            checks.one_of(self.setting("protocols"), protocol, PROTOCOLS)
        # One of the shots is held out to choose the regularisation by.
        self.shots = checks.whole_numbers(self.setting("shots"), shots, least=2) if shots else ()
        self.seeds = checks.whole_numbers(self.setting("seeds"), seeds, least=0)
        checks.one_of(self.setting("metric"), metric, METRICS, optional=True)
        self.metric = metric
        self.val_split = val_split

    def _open(self) -> list[TrainTest]:
        setting = self.setting("datasets")
        return self.library.splits(
            self.specs, self.train_split, self.split, setting, self.val_split
        )

    def _add(self, results: Results, dataset: TrainTest, store: FeatureStore) -> None:
        images = store.images(dataset.test, features=True)
        train = store.images(dataset.train, features=True)
        device, classes = store.double_device, len(dataset.test.classnames)
        metric = self.metric or dataset.test.metric
        validation = None
        if dataset.val is not None and "lbfgs" in self.protocols:
            validation = _all_rows(store.images(dataset.val, features=True), device)
        fits = self._fits(*_all_rows(train, device), validation, classes, metric)
        try:
            store.watch.stage("linear probes", math.ceil(len(fits) / world_size()))
            probes = dealt([fit for _, fit in fits], store.watch.advance)
        except ValueError as error:
            raise ValueError(f"evaluation.{self.name}: {dataset.test.name}: {error}") from error
        predictions: dict[str, Tensor] = {}
        # Of the probes of one name, which differ in their seed.
        values: dict[str, list[float]] = {}
        for (name, _), (probe, l2) in zip(fits, probes, strict=True):
            probe = probe.to(device)
            prediction_n = torch.cat([probe.predict(block.probe_nF) for block in images.blocks])
            accuracy = PredictionAccuracy(classes, intervals=name in PROTOCOLS).to(device)
            accuracy.update(prediction_n.to(device), images.rows.label_n.to(device))
            for key, value in accuracy.compute().items():
                values.setdefault(f"{name}_{key}", []).append(float(value))
            values.setdefault(f"{name}_l2", []).append(l2)
            if name in PROTOCOLS:
                predictions[name] = prediction_n
        l2_of_shots = {str(shots): values.pop(f"lbfgs_{shots}_shot_l2") for shots in self.shots}
        values.pop("adamw_l2", None)
        metrics = {}
        for key, of_seeds in values.items():
            metrics[key] = mean(of_seeds)
            if len(of_seeds) > 1:
                metrics[f"{key}_std"] = stdev(of_seeds)
        results.add(
            dataset.test.name,
            self.name,
            {**metrics, "samples": images.total, "train_samples": train.total},
            {
                "protocol": self.protocol(
                    train_split=self.train_split,
                    rows=images.rows.probed,
                    seeds=list(self.seeds),
                    metric=metric,
                    search="a part of each class" if validation is None else self.val_split,
                ),
                "l2_of_shots": l2_of_shots,
            },
            images.columns(dataset.test, **predictions),
        )

    def _fits(
        self,
        train_MF: Tensor,
        label_M: Tensor,
        validation: tuple[Tensor, Tensor] | None,
        classes: int,
        metric: str,
    ) -> list[tuple[str, Fit]]:
        """The fits by name; those that differ in their seed share a name."""
        first = self.seeds[0]

        def adamw() -> tuple[LinearClassifier, float]:
            return adamw_probe(train_MF, label_M, classes, first).to("cpu"), math.nan

        def lbfgs(
            rows: Tensor | slice, seed: int, validation: tuple[Tensor, Tensor] | None = None
        ) -> tuple[LinearClassifier, float]:
            probe, l2 = searched_lbfgs_probe(
                train_MF[rows],
                label_M[rows],
                classes,
                seed,
                metric=METRICS[metric],
                validation=validation,
            )
            return probe.to("cpu"), l2

        full: dict[str, Fit] = {
            "adamw": adamw,
            "lbfgs": partial(lbfgs, slice(None), first, validation),
        }
        return [
            *((protocol, full[protocol]) for protocol in self.protocols),
            *(
                (f"lbfgs_{shots}_shot", partial(lbfgs, few_shot(label_M, shots, seed), seed))
                for shots in self.shots
                for seed in self.seeds
            ),
        ]


def _all_rows(images: EncodedImages, device: torch.device) -> tuple[Tensor, Tensor]:
    """Rows and labels of all ranks, on every rank."""
    return images.whole(images.rows.probe_nF).to(device), images.whole(images.rows.label_n)
