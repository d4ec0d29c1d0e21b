"""Run folders as reports see them: names, metrics, details."""

from __future__ import annotations

import reprlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from cyclip_pl.metric_kinds import BOUNDS
from cyclip_pl.reports.run_config import RunConfig, read_config
from cyclip_pl.reports.run_files import number, plain, read_object
from cyclip_pl.reports.run_order import natural
from cyclip_pl.reports.training_log import Curve, read_log

_DRAWABLE = 1e6  # a larger value would flatten everything else in a plot
_MOST_TITLES = 2000


class Point(NamedTuple):
    """A metric to draw and the ends of its interval; without one, both ends are the value."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
        name: Its name in tables and plots, printable.
        folder: Where its files are.
        metrics: By title, `<dataset>/<evaluation>`, the metrics by their own names, printable too.
            None stands for null in the file.
        files: The files of details, by title as their names write it, `<dataset>_<evaluation>`.
        config: What it was made with.
    """

    name: str
    folder: Path
    metrics: dict[str, dict[str, float | None]]
    files: dict[str, Path]
    config: RunConfig = field(default_factory=RunConfig)

    def value(self, title: str, metric: str) -> float | None:
        """A metric, or None if the run does not have it."""
        return self.metrics.get(title, {}).get(metric)

    def point(self, title: str, metric: str) -> Point | None:
        """A metric, if the run has it and it can be drawn."""
        value, low, high = (
            x if x is not None and abs(x) < _DRAWABLE else None
            for x in (self.value(title, metric + end) for end in ("", *BOUNDS))
        )
        if value is None:
            return None
        if low is None or high is None or not low <= value <= high:
            return Point(value, value, value)
        return Point(value, low, high)

    def detail(self, title: str, name: str) -> tuple[str, Any] | None:
        """(where it is, for messages; what it is) of an entry in a title's file of details."""
        # Looked up, not composed: a name from a file must not become a path.
        path = self.files.get(title.replace("/", "_"))
        if path is None:
            return None
        details = self._details.get(path)
        if details is None:
            details = self._details[path] = read_object(path)
        return (f"{path}: {name}", details[name]) if name in details else None

    def thumbnail(self, title: str, name: str) -> Path | None:
        """The file of a small image that a title's details name, if it is there."""
        return self._thumbnails.get(title.replace("/", "_"), {}).get(name)

    @cached_property
    def log(self) -> dict[str, Curve]:
        """What it logged while it was trained, see `read_log`."""
        return read_log(self.folder)

    @cached_property
    def _details(self) -> dict[Path, dict[str, Any]]:
        return {}

    @cached_property
    def _thumbnails(self) -> dict[str, dict[str, Path]]:
        found: dict[str, dict[str, Path]] = {}
        for path in sorted(self.folder.glob("details/*/*.webp")):
            found.setdefault(plain(path.parent.name), {})[path.stem] = path
        return found


def read_runs(folders: Sequence[Path], names: Sequence[str | None] | None = None) -> list[Run]:
    """Read runs, in the order of their folders.

    Args:
        folders: Each with `metrics.json`.
        names: Their names in the report; in place of None stands the folder's name.

    Raises:
        ValueError: One line that names the folder or the file.
    """
    if not folders:
        raise ValueError("no run to compare")
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"{folder} is not a folder")
    if twice := _twice(folder.resolve() for folder in folders):
        raise ValueError(f"{twice} is given twice")
    names = [None] * len(folders) if names is None else names
    if len(names) != len(folders):
        raise ValueError(f"{len(names)} names for {len(folders)} runs")
    both = zip(names, folder_names(folders), strict=True)
    shown = [plain(own if name is None else name).strip() for name, own in both]
    if not all(shown):
        raise ValueError("a run's name is empty")
    if twice := _twice(shown):
        raise ValueError(f"two runs have the name {twice}")
    runs = []
    for name, folder in zip(shown, folders, strict=True):
        files = {plain(path.stem): path for path in sorted(folder.glob("details/*.json"))}
        runs.append(Run(name, folder, _metrics(folder), files, read_config(folder)))
    return runs


def folder_names(folders: Sequence[Path]) -> list[str]:
    """The folders' own names, with as many parent folders as it takes to tell them apart."""
    parts = [folder.resolve().parts for folder in folders]
    for length in range(1, max(map(len, parts)) + 1):
        names = [str(Path(*of_folder[-length:])) for of_folder in parts]
        if len(set(names)) == len(names):
            break
    return names


def titles(runs: Sequence[Run], wanted: Callable[[Run, str], object]) -> list[str]:
    """The titles for which `wanted` is true of at least one run, in natural order."""
    found = dict.fromkeys(title for run in runs for title in run.metrics)
    return sorted((t for t in found if any(wanted(run, t) for run in runs)), key=natural)


def of_title(title: str) -> tuple[str, str]:
    """(data set, evaluation); the data set of `train/seconds`, which has none, is empty."""
    dataset, _, evaluation = title.rpartition("/")
    return dataset, evaluation


def _metrics(folder: Path) -> dict[str, dict[str, float | None]]:
    file = folder / "metrics.json"
    if not file.exists():
        raise ValueError(f"{folder} has no metrics.json: is it a run folder?")
    metrics: dict[str, dict[str, float | None]] = {}
    for key, value in read_object(file).items():
        title, _, metric = plain(key).rpartition("/")
        where = f"{file}: {reprlib.repr(key)}"
        metrics.setdefault(title, {})[metric] = None if value is None else number(value, where)
    if len(metrics) > _MOST_TITLES:
        raise ValueError(
            f"{file} has {len(metrics):,} pairs of data set and evaluation; "
            f"a report shows at most {_MOST_TITLES:,}"
        )
    return metrics


def _twice(items: Iterable[Any]) -> Any:
    return next((item for item, times in Counter(items).items() if times > 1), None)
