"""Evaluations during training."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from lightning.pytorch import LightningModule, Trainer

from cyclip_pl.callbacks.measuring import Cadence, Measuring
from cyclip_pl.evaluation.build import CADENCE, build, entries, without_sets
from cyclip_pl.evaluation.features.store import FeatureStore
from cyclip_pl.evaluation.protocols.base import Protocol, openable, run
from cyclip_pl.evaluation.results import Results

logger = logging.getLogger(__name__)


class EvaluationCallback(Measuring):
    """Run evaluations on `pl_module.as_model()`, each at its own cadence and at the end.

    Those due at one step share what they compute.

    Args:
        evaluations: By name.
        cadence: By the same names; `Cadence()` for those that are missing.
        features: Settings of the `FeatureStore` that the evaluations of a step share.
        without_sets: Names of evaluations that do not run because nobody has named a set.

    Attributes:
        metrics: The last metrics of each evaluation, `<dataset>/<evaluation>/<metric>`.
        details: The details of the same, with the images that they name.

    Raises:
        ValueError: When the training begins: a missing or broken data set, or a wrong setting.
    """

    def __init__(
        self,
        evaluations: Mapping[str, Protocol[Any]],
        cadence: Mapping[str, Cadence] | None = None,
        features: Mapping[str, Any] | None = None,
        without_sets: Iterable[str] = (),
    ) -> None:
        super().__init__({name: (cadence or {}).get(name, Cadence()) for name in evaluations})
        self.evaluations = dict(evaluations)
        self.features = dict(features or {})
        self.without_sets = tuple(without_sets)
        self.details = Results()

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any] | None, features: Mapping[str, Any] | None = None
    ) -> EvaluationCallback:
        """From the nodes `evaluation`, whose entries may have a `cadence`, and `features`."""
        evaluations = build(config)
        cadence = {}
        for name, entry in entries(config).items():
            setting = f"evaluation.{name}.{CADENCE}"
            try:
                cadence[name] = Cadence(**(entry.get(CADENCE) or {}))
            except TypeError as error:
                raise ValueError(f"{setting}: has every_n_epochs and every_n_steps") from error
            except ValueError as error:
                raise ValueError(f"{setting}.{error}") from error
        return cls(evaluations, cadence, features, without_sets(config))

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit":
            self._store(pl_module)  # so that wrong settings show before the first step
            usable = openable(self.evaluations.values())
            self.evaluations = {n: e for n, e in self.evaluations.items() if e in usable}
            self.keep(self.evaluations)
            if self.without_sets and trainer.is_global_zero:
                logger.warning(
                    "evaluation: no sets for %s, so left out; name yours, evaluation.datasets=[…]",
                    ", ".join(self.without_sets),
                )

    def measure(
        self, trainer: Trainer, pl_module: LightningModule, names: Sequence[str]
    ) -> dict[str, float]:
        results = run([self.evaluations[name] for name in names], self._store(pl_module))
        self.details.update(replace(results, metrics={}, predictions={}))
        return results.metrics

    def _store(self, pl_module: LightningModule) -> FeatureStore:
        return FeatureStore(cast(Any, pl_module).as_model(), **self.features)
