"""Run folders as reports see them: names, figures, details."""

from __future__ import annotations

import re
import reprlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cyclip_pl.reports.files import number, plain, read_object

BOUNDS = ("low", "high")
_DRAWABLE = 1e6  # beyond it a plot shows nothing else
_MOST_TITLES = 2000


@dataclass(frozen=True)
class Point:
    """A figure to draw, with the bounds of its interval: its own value where it has none."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
        name: What tables and plots call it, printable.
        folder: Where its files are.
        figures: By title, `<dataset>/<evaluation>`, the figures by their own names, printable too.
            None is a figure that the file has as null.
        files: Of details, by title as in their names, `<dataset>_<evaluation>`.
    """

    name: str
    folder: Path
    figures: dict[str, dict[str, float | None]]
    files: dict[str, Path]

    def point(self, title: str, figure: str) -> Point | None:
        """A figure, if it is there and can be drawn."""
        of_title = self.figures.get(title, {})
        value, low, high = (
            x if x is not None and abs(x) < _DRAWABLE else None
            for x in map(of_title.get, (figure, *(f"{figure}_{bound}" for bound in BOUNDS)))
        )
        if value is None:
            return None
        if low is None or high is None or not low <= value <= high:
            return Point(value, value, value)
        return Point(value, low, high)

    def details(self, title: str) -> tuple[Path, dict[str, Any]] | None:
        """The file of details and what it holds, if there is one.

        Raises:
            ValueError: One line that names the file.
        """
        # Looked up, not composed: a name in a file must not become a path.
        path = self.files.get(title.replace("/", "_"))
        return None if path is None else (path, read_object(path))


def read_runs(folders: Sequence[Path], names: Sequence[str] | None = None) -> list[Run]:
    """Runs in the order of their folders.

    Args:
        folders: Each with `metrics.json`.
        names: What to call them; by their folders if None.

    Raises:
        ValueError: One line that names the folder or the file.
    """
    if not folders:
        raise ValueError("no run to compare")
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"{folder} is no folder")
    if twice := _twice(folder.resolve() for folder in folders):
        raise ValueError(f"{twice} is given twice")
    if names is None:
        names = folder_names(folders)
    elif len(names) != len(folders):
        raise ValueError(f"{len(names)} names for {len(folders)} runs")
    shown = [plain(name).strip() for name in names]
    if not all(shown):
        raise ValueError("a run's name is empty")
    if twice := _twice(shown):
        raise ValueError(f"two runs are called {twice}")
    return [
        Run(name, folder, _figures(folder), _files(folder))
        for name, folder in zip(shown, folders, strict=True)
    ]


def folder_names(folders: Sequence[Path]) -> list[str]:
    """The folders' own names, with as many of their parents' as tell them apart."""
    parts = [folder.resolve().parts for folder in folders]
    for length in range(1, max(map(len, parts)) + 1):
        names = [str(Path(*of_folder[-length:])) for of_folder in parts]
        if len(set(names)) == len(names):
            break
    return names


def titles(runs: Iterable[Run], wanted: Callable[[Run, str], bool]) -> list[str]:
    """The titles that a run has and for which `wanted` is true of a run, in natural order."""
    runs = list(runs)
    found = dict.fromkeys(title for run in runs for title in run.figures)
    return sorted((t for t in found if any(wanted(run, t) for run in runs)), key=natural)


def natural(text: str) -> list[tuple[int, int, str]]:
    """A sorting key: k3 before k10, and what is of a set before what is of none."""
    pieces = re.split(r"(\d{1,18})", text)
    return [(0, int(p), "") if p.isdecimal() and p.isascii() else (1, 0, p) for p in pieces]


def of_title(title: str) -> tuple[str, str]:
    """(data set, evaluation); what is of no set, as `train/seconds` is, has an empty one."""
    dataset, _, evaluation = title.rpartition("/")
    return dataset, evaluation


def _figures(folder: Path) -> dict[str, dict[str, float | None]]:
    file = folder / "metrics.json"
    if not file.exists():
        raise ValueError(f"{folder} has no metrics.json: is it a run folder?")
    figures: dict[str, dict[str, float | None]] = {}
    for key, value in read_object(file).items():
        title, _, figure = plain(key).rpartition("/")
        where = f"{file}: {reprlib.repr(key)}"
        figures.setdefault(title, {})[figure] = None if value is None else number(value, where)
    if len(figures) > _MOST_TITLES:
        raise ValueError(f"{file} has {len(figures):,} data sets and evaluations: none of ours")
    return figures


def _files(folder: Path) -> dict[str, Path]:
    return {plain(path.stem): path for path in sorted((folder / "details").glob("*.json"))}


def _twice(items: Iterable[Any]) -> Any:
    return next((item for item, times in Counter(items).items() if times > 1), None)
