"""Accuracy under natural distribution shift, against what the in-distribution one promises."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cyclip_pl import checks
from cyclip_pl.evaluation.features.blocks import EncodedImages, Rows
from cyclip_pl.evaluation.features.classifier import predict
from cyclip_pl.evaluation.features.examples import hits
from cyclip_pl.evaluation.features.store import FeatureStore
from cyclip_pl.evaluation.protocols.base import Prompts, Protocol
from cyclip_pl.evaluation.results import Results
from cyclip_pl.evaluation.sets.interface import LabelledSet
from cyclip_pl.evaluation.sets.library import Library
from cyclip_pl.evaluation.sets.setting import Sets, named_sets
from cyclip_pl.metrics.accuracy import TopKAccuracy
from cyclip_pl.metrics.baseline import SCALES, Baseline, fit_baseline
from cyclip_pl.metrics.effective_robustness import robustness


class Robustness(Protocol[list[LabelledSet]]):
    """Zero-shot accuracy on shifted sets against that on an in-distribution set.

    Metrics of the in-distribution set: `acc1` and `samples`; `mean_acc1`, `mean_drop` and
    `mean_effective_robustness` over the shifted sets. Of each of these: `acc1`, `drop`,
    `effective_robustness` and `samples`, see `robustness`. A set without a baseline has no
    effective robustness.

    A shifted set is classified among its own classes, the in-distribution one among all of its:
    where the former are fewer, the drop is flattered.

    Args:
        in_distribution: A set, see `open_labelled`, or a name with one.
        shifted: Such sets, or names with sets.
        split: The split to classify.
        templates: Prompts, see `PromptSource`.
        models: Run folders, or `metrics.json` files, of other models that were evaluated with these
            sets under this name: the baseline of each shifted set is fitted on their accuracies.
        baselines: By shifted set, `slope` and `intercept` of a line through fractions; they go
            before `models`.
        scale: Of the accuracies, in which baselines are lines: `linear` or `logit`.
        name, library: See `Protocol`.

    Raises:
        ValueError: One line that names the setting.
    """

    def __init__(
        self,
        in_distribution: str | Sets,
        shifted: Sets,
        split: str = "test",
        templates: Prompts = None,
        models: Sequence[str] = (),
        baselines: Mapping[str, Mapping[str, float]] | None = None,
        scale: str = "linear",
        name: str = "robustness",
        library: Library | None = None,
    ) -> None:
        super().__init__(name, library, split, templates)
        one = [in_distribution] if isinstance(in_distribution, str) else in_distribution
        setting = self.setting("in_distribution")
        self.specs = named_sets(one, setting)
        if len(self.specs) != 1:
            names = ", ".join(self.specs)
            raise ValueError(f"{setting}=[{names}]: must be one set; name the in-distribution one")
        ((self.base, spec),) = self.specs.items()
        of_shifted = named_sets(shifted, self.setting("shifted"))
        self.shifted = {n: s for n, s in of_shifted.items() if s != spec}
        if not self.shifted:
            raise ValueError(f"{self.setting('shifted')}: needs a set besides {self.base}")
        if self.base in self.shifted:
            raise ValueError(f"{self.setting('shifted')}: {self.base} is the in-distribution set")
        checks.one_of(self.setting("scale"), scale, SCALES)
        self.scale = scale
        if isinstance(models, str) or not all(isinstance(path, str) for path in models):
            raise ValueError(f"{self.setting('models')}={models}: must be a list of run folders")
        self.models = tuple(models)
        self.baselines: dict[str, Baseline] = {}
        for dataset, line in (baselines or {}).items():
            setting = f"{self.setting('baselines')}.{dataset}"
            if dataset not in self.shifted:
                raise ValueError(f"{setting}: no shifted set is called so")
            try:
                self.baselines[dataset] = Baseline(**line, scale=scale)
            except TypeError as error:
                raise ValueError(f"{setting}={line}: must be {{slope: A, intercept: B}}") from error

    def _open(self) -> list[list[LabelledSet]]:
        sets = [
            *self.labelled(self.specs, "in_distribution"),
            *self.labelled(self.shifted, "shifted"),
        ]
        if self.models:
            others = [read_metrics(Path(path), self.setting("models")) for path in self.models]
            for shift in self.shifted.keys() - self.baselines.keys():
                self.baselines[shift] = self._fitted(others, shift)
        return [sets]

    def _fitted(self, others: Sequence[Mapping[str, float]], shift: str) -> Baseline:
        setting = self.setting("models")
        points = []
        for path, metrics in zip(self.models, others, strict=True):
            keys = [f"{dataset}/{self.name}/acc1" for dataset in (self.base, shift)]
            if missing := [key for key in keys if key not in metrics]:
                raise ValueError(f"{setting}: {path} has no {missing[0]}")
            points.append((metrics[keys[0]], metrics[keys[1]]))
        try:
            return fit_baseline(points, self.scale)
        except ValueError as error:
            raise ValueError(f"{setting}: {shift}: {error}") from error

    def _add(self, results: Results, dataset: list[LabelledSet], store: FeatureStore) -> None:
        accuracy: dict[str, dict[str, float]] = {}
        samples: dict[str, int] = {}
        of_images: dict[str, dict[str, Any]] = {}
        for one in dataset:
            images, right_n, found = self._accuracy(one, store)
            of_images[one.name] = hits(one, images, {"acc1": right_n})
            accuracy[one.name] = {n: float(v) for n, v in found.items() if n.startswith("acc1")}
            samples[one.name] = images.total
        shifted = {n: of["acc1"] for n, of in accuracy.items() if n != self.base}
        against = robustness(accuracy[self.base]["acc1"], shifted, self.baselines)
        mean = {f"mean_{name}": value for name, value in against.pop("mean").items()}
        for name in accuracy:
            line = self.baselines.get(name)
            results.add(
                name,
                self.name,
                {**accuracy[name], **against.get(name, mean), "samples": samples[name]},
                {
                    "protocol": self.protocol(
                        templates=self.templates.title,
                        in_distribution=self.base,
                        baseline=None if line is None else asdict(line),
                        models=list(self.models),
                    ),
                    "hits": of_images[name],
                },
            )

    def _accuracy(
        self, dataset: LabelledSet, store: FeatureStore
    ) -> tuple[EncodedImages, Tensor, dict[str, Tensor]]:
        """The images, whether each of this rank's is right, and the metrics."""
        classifier = self.classifier(dataset, store)
        metric = TopKAccuracy(len(dataset.classnames), (1,)).to(store.double_device)
        classes = []

        def score(block: Rows) -> None:
            score_nK = classifier(block.embedding_nD.to(store.double_device))
            metric.update(score_nK, block.label_n.to(store.double_device))
            classes.append(predict(score_nK)[0].cpu())

        images = store.each_block(dataset, score)
        return images, torch.cat(classes) == images.rows.label_n, metric.compute()


def read_metrics(path: Path, setting: str) -> dict[str, float]:
    """`metrics.json` itself, or that of a run folder.

    Raises:
        ValueError: One line that names `setting` and the file.
    """
    file = path / "metrics.json" if path.is_dir() else path
    try:
        metrics = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "is not JSON"
        raise ValueError(f"{setting}: {file}: {reason}") from error
    if not isinstance(metrics, dict):
        raise ValueError(f"{setting}: {file} must map names of metrics to numbers")
    return {name: value for name, value in metrics.items() if isinstance(value, int | float)}
