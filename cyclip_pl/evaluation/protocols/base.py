"""What an evaluation is: features and sets in, named results out."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from cyclip_pl.distributed import rank
from cyclip_pl.evaluation.features.blocks import EncodedImages
from cyclip_pl.evaluation.features.classifier import Classifier
from cyclip_pl.evaluation.features.store import FeatureStore
from cyclip_pl.evaluation.results import Results
from cyclip_pl.evaluation.sets.interface import ImageSet, LabelledSet, NoneUsable
from cyclip_pl.evaluation.sets.library import Library
from cyclip_pl.evaluation.sets.templates import PromptSource
from cyclip_pl.metrics.bootstrap import PROTOCOL

logger = logging.getLogger(__name__)

Prompts = str | Sequence[str] | Mapping[str, Any] | None
"""What the setting `templates` may be, see `PromptSource`."""
S = TypeVar("S")
E = TypeVar("E", bound="Protocol[Any]")


class Protocol(ABC, Generic[S]):
    """A protocol with its sets and settings, ready to run on any model.

    A subclass opens its sets in `_open` and adds the results of one of them in `_add`. It keeps
    the constructor's arguments in its YAML file, all but `name` and `library`.

    Args:
        name: Its name in the configuration and in its metrics.
        library: Where its sets come from; one of its own if None.
        split: The split of its sets to look at.
        templates: Prompts, where it has any.

    Attributes:
        needs_features: Whether it asks the store for features: `run` then keeps them from the
            first pass on.
    """

    needs_features = False

    def __init__(
        self, name: str, library: Library | None, split: str, templates: Prompts = None
    ) -> None:
        self.name = name
        self.library = library or Library()
        self.split = split
        self.templates = PromptSource(templates, self.setting("templates"))
        self._sets: list[S] | None = None

    def setting(self, key: str) -> str:
        """What the user calls one of its settings."""
        return f"evaluation.{self.name}.{key}"

    def open(self) -> None:
        """Find and check the data, once, so that errors show before the training.

        Raises:
            ValueError: One line that names the file or the setting.
        """
        if self._sets is None:
            self._sets = self._open()

    @property
    def count(self) -> int:
        """How many sets it looks at, once they are open."""
        return len(self._sets or ())

    def __call__(self, store: FeatureStore) -> Results:
        """Metrics by `<dataset>/<name>/<metric>`; all ranks enter together, all get them.

        Raises:
            ValueError: No image of a set can be decoded.
        """
        self.open()
        assert self._sets is not None
        results = Results()
        for dataset in self._sets:
            store.watch.begin(self.name, _name(dataset))
            self._add(results, dataset, store)
        return results

    def labelled(
        self,
        specs: Mapping[str, str],
        key: str,
        check: Callable[[LabelledSet], None] | None = None,
    ) -> list[LabelledSet]:
        """The sets of a setting, with prompts for each; see `Library.labelled`."""
        sets = self.library.labelled(specs, self.split, self.setting(key), check)
        for dataset in sets:
            self.templates.prompts(dataset)
        return sets

    def protocol(self, **more: Any) -> dict[str, Any]:
        """How its metrics are made, for the details."""
        return {"split": self.split, **more, "interval": PROTOCOL}

    def skipped(self, dataset: ImageSet, images: EncodedImages) -> int:
        """How many images of a set could not be decoded; the log says so."""
        skipped = len(dataset) - images.total
        if skipped and rank() == 0:
            logger.warning("%s: %d of %d images skipped", dataset.name, skipped, len(dataset))
        return skipped

    def classifier(self, dataset: LabelledSet, store: FeatureStore) -> Classifier:
        """The classes of a set, by its prompts."""
        return store.classifier(dataset.classnames, self.templates.prompts(dataset))

    @abstractmethod
    def _open(self) -> list[S]:
        """The sets, by way of the library; a ValueError names the setting."""

    @abstractmethod
    def _add(self, results: Results, dataset: S, store: FeatureStore) -> None:
        """Add the results of one set."""


def openable(evaluations: Iterable[E]) -> list[E]:
    """Open the sets of evaluations; one that can use none of the shared sets is left out, and told.

    Raises:
        ValueError: A missing or broken set; or no evaluation is left.
    """
    left: list[E] = []
    refused: list[NoneUsable] = []
    for evaluation in evaluations:
        try:
            evaluation.open()
            left.append(evaluation)
        except NoneUsable as error:
            refused.append(error)
    if refused and not left:
        raise refused[0]
    if rank() == 0:
        for reason in refused:
            logger.warning("left out: %s", reason)
    return left


def run(evaluations: Iterable[Protocol[Any]], store: FeatureStore) -> Results:
    """The results of several evaluations, in their order; what they share is computed once."""
    evaluations = openable(evaluations)  # all first: an error shows before the others work
    store.keep_features |= any(evaluation.needs_features for evaluation in evaluations)
    store.keep_rows = len(evaluations) > 1
    results = Results()
    store.watch.start(sum(evaluation.count for evaluation in evaluations))
    try:
        for evaluation in evaluations:
            results.update(evaluation(store))
    finally:
        store.watch.close()
    return results


def _name(sets: Any) -> str:
    """Of a set, of the test split of one with several, or of the first of what belongs together."""
    first = sets[0] if isinstance(sets, tuple | list) else sets
    first = getattr(first, "test", first)
    return str(getattr(first, "name", first))
