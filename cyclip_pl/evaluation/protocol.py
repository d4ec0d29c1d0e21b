"""What an evaluation is: features in, named results out; and what it may ask of a data set."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from PIL.Image import Image
from torch import Tensor

from cyclip_pl.evaluation.results import Results

if TYPE_CHECKING:
    from cyclip_pl.evaluation.features import FeatureStore


class ImageSet(Protocol):
    """Images, each of which can be read alone."""

    name: str
    """What figures call it."""

    @property
    def fingerprint(self) -> str:
        """A hash of all its content: equal only where images, labels and names are."""
        ...

    def __len__(self) -> int: ...

    def key(self, index: int) -> str:
        """A sample's own name."""
        ...

    def where(self, index: int) -> str:
        """Where a sample lies, for messages."""
        ...

    def image(self, index: int) -> Image:
        """The sample's image, RGB; raises `image_shards.Undecodable`."""
        ...


class LabelledSet(ImageSet, Protocol):
    """Images and the names of their classes."""

    classnames: list[str]
    """K names; class 0 first. Some may be equal."""
    templates: list[str] | None
    """Its own prompts with `{c}`, if it has any."""
    label_N: Tensor
    """int64, (N,), the class of each sample, on the CPU."""
    metric: str
    """What is reported of it: `accuracy`, or `mean_per_class`."""
    hierarchy: Path | None
    """A file of its classes' superclasses, see `hierarchies`, if it brings one."""


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
