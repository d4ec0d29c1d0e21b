"""What an evaluation is: features in, named results out; and what it may ask of a data set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
    """K names."""
    templates: list[str] | None
    """Its own prompts with `{c}`, if it has any."""
    label_N: Tensor
    """int64, (N,), the class of each sample, on the CPU."""


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


def named_folders(
    datasets: Mapping[str, str] | Sequence[str | Mapping[str, str]], setting: str
) -> dict[str, Path]:
    """Name -> folder, from such a mapping or a list of folders, each called by its last part.

    An entry of the list may also be a mapping of names to folders.

    Raises:
        ValueError: One line that names `setting`.
    """
    allowed = f"{setting} must be a list of folders, or names with folders"
    if isinstance(datasets, str):
        raise ValueError(f"{allowed}; got {datasets!r}: write [{datasets}]")
    pairs: list[tuple[str, str]] = []
    for entry in [datasets] if isinstance(datasets, Mapping) else datasets:
        if isinstance(entry, Mapping):
            pairs += entry.items()
        elif isinstance(entry, str | Path):
            pairs.append((Path(entry).name, str(entry)))
        else:
            raise ValueError(f"{allowed}; got {entry!r}")
    folders: dict[str, Path] = {}
    for name, folder in pairs:
        if not isinstance(name, str) or not name or "/" in name:
            raise ValueError(f"{setting}: {name!r} cannot name a set: a '/' parts figures' names")
        if not isinstance(folder, str | Path) or not str(folder):
            raise ValueError(f"{setting}: the folder of {name} must be a path, it is {folder!r}")
        if name in folders:
            raise ValueError(
                f"{setting}: two sets are called {name}: write [{{NAME: FOLDER}}, ...]"
            )
        folders[name] = Path(folder)
    if not folders:
        raise ValueError(f"{allowed}; it names none")
    return folders
