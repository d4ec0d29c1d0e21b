"""What an evaluation is: a model in, named figures out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from cyclip_pl.types import Model


class Evaluation(Protocol):
    """A protocol with its data sets and settings, ready to run on any model."""

    name: str
    """Its name in the configuration, and in its figures."""

    def open(self) -> None:
        """Find and check the data, so that what is wrong with it shows before the training.

        Raises:
            ValueError: One line that names the file or the setting.
        """
        ...

    def __call__(self, model: Model) -> dict[str, float]:
        """Figures by `<dataset>/<name>/<figure>`; all ranks enter together, all get them."""
        ...


def run(evaluations: Iterable[Evaluation], model: Model) -> dict[str, float]:
    """The figures of several evaluations, in their order."""
    figures: dict[str, float] = {}
    for evaluation in evaluations:
        figures.update(evaluation(model))
    return figures


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
