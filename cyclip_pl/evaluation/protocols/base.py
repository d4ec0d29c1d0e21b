"""What an evaluation is: features and sets in, named results out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from cyclip_pl.evaluation.features.store import FeatureStore
from cyclip_pl.evaluation.results import Results


class Evaluation(Protocol):
    """A protocol with its data sets and settings, ready to run on any model."""

    name: str
    """Its name in the configuration, and in its figures."""
    needs_features: bool
    """Whether it asks the store for `feature_NF`: `run` then keeps them from the first pass on."""

    def open(self) -> None:
        """Find and check the data, so that what is wrong with it shows before the training.

        Raises:
            ValueError: One line that names the file or the setting.
        """
        ...

    def __call__(self, store: FeatureStore) -> Results:
        """Figures by `<dataset>/<name>/<figure>`; all ranks enter together, all get them."""
        ...


def run(evaluations: Iterable[Evaluation], store: FeatureStore) -> Results:
    """The results of several evaluations, in their order; what they share is computed once."""
    evaluations = list(evaluations)
    store.keep_features |= any(evaluation.needs_features for evaluation in evaluations)
    results = Results()
    for evaluation in evaluations:
        results.update(evaluation(store))
    return results
