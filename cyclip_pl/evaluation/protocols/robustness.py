"""Accuracy under natural distribution shift, against what the in-distribution one promises."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from cyclip_pl.evaluation.features.store import FeatureStore
from cyclip_pl.evaluation.protocols.zero_shot import classify
from cyclip_pl.evaluation.results import Results
from cyclip_pl.evaluation.sets.interface import LabelledSet
from cyclip_pl.evaluation.sets.library import Library
from cyclip_pl.evaluation.sets.setting import Sets, named_sets
from cyclip_pl.evaluation.sets.templates import PromptSource
from cyclip_pl.metrics.baseline import SCALES, Baseline, fit_baseline
from cyclip_pl.metrics.bootstrap import PROTOCOL, with_intervals


def robustness(
    accuracy: float,
    shifted: Mapping[str, float],
    baselines: Mapping[str, Baseline] | None = None,
) -> dict[str, dict[str, float]]:
    """Figures of each shifted set by its name, and of their `mean`.

    Args:
        accuracy: On the in-distribution set, a fraction.
        shifted: Accuracies on the shifted sets by name, fractions; none is called `mean`.
        baselines: By name of the shifted set; sets without one get no effective robustness.

    Returns:
        `accuracy`; `drop`, 1 - shifted / in-distribution, the relative drop; and
        `effective_robustness`, shifted accuracy - baseline(in-distribution accuracy) (Taori et al.,
        arXiv 2007.00644). `mean` has the mean accuracy, its drop, and the mean effective
        robustness if all sets have a baseline. The drop from an accuracy of 0 is nan.

    Raises:
        ValueError: There is no shifted set.
    """
    if not shifted:
        raise ValueError("robustness needs a shifted set")
    assert "mean" not in shifted
    baselines = baselines or {}

    def of(accuracy_shifted: float) -> dict[str, float]:
        drop = 1 - accuracy_shifted / accuracy if accuracy else math.nan
        return {"accuracy": accuracy_shifted, "drop": drop}

    figures = {name: of(value) for name, value in shifted.items()}
    for name in shifted.keys() & baselines.keys():
        figures[name]["effective_robustness"] = shifted[name] - baselines[name](accuracy)
    mean = of(math.fsum(shifted.values()) / len(shifted))
    if shifted.keys() <= baselines.keys():
        effective = [figures[name]["effective_robustness"] for name in shifted]
        mean["effective_robustness"] = math.fsum(effective) / len(effective)
    return {**figures, "mean": mean}


class Robustness:
    """Zero-shot accuracy on shifted sets against that on an in-distribution set.

    Figures of the in-distribution set: `accuracy` and `samples`; `mean_accuracy`, `mean_drop` and
    `mean_effective_robustness` over the shifted sets. Of each of these: `accuracy`, `drop`,
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
        name: Its name in the configuration and in its figures.
        library: Where its sets come from; one of its own if None.

    Raises:
        ValueError: One line that names the setting.
    """

    needs_features = False

    def __init__(
        self,
        in_distribution: str | Mapping[str, str],
        shifted: Sets,
        split: str = "test",
        templates: str | Sequence[str] | Mapping[str, Any] | None = None,
        models: Sequence[str] = (),
        baselines: Mapping[str, Mapping[str, float]] | None = None,
        scale: str = "linear",
        name: str = "robustness",
        library: Library | None = None,
    ) -> None:
        self.name = name
        self.library = library or Library()
        own = f"evaluation.{name}"
        one = [in_distribution] if isinstance(in_distribution, str) else in_distribution
        self.specs = named_sets(one, f"{own}.in_distribution")
        if len(self.specs) != 1:
            raise ValueError(
                f"{own}.in_distribution=[{', '.join(self.specs)}]: must be one set; name the "
                "in-distribution one"
            )
        ((self.base, base),) = self.specs.items()
        self.shifted = {n: s for n, s in named_sets(shifted, f"{own}.shifted").items() if s != base}
        if self.base in self.shifted:
            raise ValueError(f"{own}.shifted has a set called {self.base}, the in-distribution one")
        if not self.shifted:
            raise ValueError(f"{own}.shifted=[{self.base}]: must have a set besides that one")
        self.split = split
        self.templates = PromptSource(templates, f"{own}.templates")
        if scale not in SCALES:
            raise ValueError(f"{own}.scale must be one of {', '.join(SCALES)}; got {scale!r}")
        self.scale = scale
        if isinstance(models, str) or not all(isinstance(path, str) for path in models):
            raise ValueError(f"{own}.models must be a list of run folders; got {models!r}")
        self.models = tuple(models)
        self.baselines: dict[str, Baseline] = {}
        for dataset, line in (baselines or {}).items():
            setting = f"{own}.baselines.{dataset}"
            if dataset not in self.shifted:
                raise ValueError(f"{setting}: no shifted set is called so")
            try:
                self.baselines[dataset] = Baseline(**line, scale=scale)
            except TypeError as error:
                raise ValueError(f"{setting} must have slope and intercept; got {line}") from error
        self._sets: list[LabelledSet] | None = None

    def open(self) -> None:
        """Read the names, labels and places of all sets, and the other models' figures, once.

        Raises:
            ValueError: One line that names the setting and the file.
        """
        if self._sets is not None:
            return
        own = f"evaluation.{self.name}"
        sets = [
            *self.library.labelled(self.specs, self.split, f"{own}.in_distribution"),
            *self.library.labelled(self.shifted, self.split, f"{own}.shifted"),
        ]
        for dataset in sets:
            self.templates.prompts(dataset)
        if self.models:
            others = [read_figures(Path(path), f"{own}.models") for path in self.models]
            for shift in self.shifted.keys() - self.baselines.keys():
                self.baselines[shift] = self._fitted(others, shift)
        self._sets = sets

    def _fitted(self, others: Sequence[Mapping[str, float]], shift: str) -> Baseline:
        points = []
        for path, figures in zip(self.models, others, strict=True):
            keys = [f"{dataset}/{self.name}/accuracy" for dataset in (self.base, shift)]
            if missing := [key for key in keys if key not in figures]:
                raise ValueError(f"evaluation.{self.name}.models: {path} has no {missing[0]}")
            points.append((figures[keys[0]], figures[keys[1]]))
        try:
            return fit_baseline(points, self.scale)
        except ValueError as error:
            raise ValueError(f"evaluation.{self.name}.models: {shift}: {error}") from error

    def __call__(self, store: FeatureStore) -> Results:
        """All ranks enter together.

        Raises:
            ValueError: No image of a set can be decoded.
        """
        self.open()
        assert self._sets is not None
        right: dict[str, Tensor] = {}
        for dataset in self._sets:
            classifier = store.classifier(dataset.classnames, self.templates.prompts(dataset))
            rank_N, _, _ = classify(store.images(dataset), classifier, store.device)
            right[dataset.name] = rank_N == 0
        accuracy = {name: right_N.double().mean().item() for name, right_N in right.items()}
        base = accuracy.pop(self.base)
        found = robustness(base, accuracy, self.baselines)
        figures = {
            self.base: {
                "accuracy": base,
                **{f"mean_{name}": value for name, value in found.pop("mean").items()},
            },
            **found,
        }
        results = Results()
        for name, of_set in figures.items():
            line = self.baselines.get(name)
            results.add(
                name,
                self.name,
                figures={
                    **with_intervals(of_set, {"accuracy": right[name]}),
                    "samples": len(right[name]),
                },
                details={
                    "protocol": {
                        "split": self.split,
                        "templates": self.templates.title,
                        "in_distribution": self.base,
                        "baseline": None if line is None else asdict(line),
                        "models": list(self.models),
                        "interval": PROTOCOL,
                    }
                },
            )
        return results


def read_figures(path: Path, setting: str) -> dict[str, float]:
    """`metrics.json` itself, or that of a run folder.

    Raises:
        ValueError: One line that names `setting` and the file.
    """
    file = path / "metrics.json" if path.is_dir() else path
    try:
        figures = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "is no JSON"
        raise ValueError(f"{setting}: {file}: {reason}") from error
    if not isinstance(figures, dict):
        raise ValueError(f"{setting}: {file} must map figures' names to numbers")
    return {name: value for name, value in figures.items() if isinstance(value, int | float)}
