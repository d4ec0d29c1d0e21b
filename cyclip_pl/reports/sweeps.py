"""Which runs the given folders are: a run's own, or a sweep's with one sub-folder per run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cyclip_pl.reports.differences import differences, names_by
from cyclip_pl.reports.run_config import read_config
from cyclip_pl.reports.run_files import plain
from cyclip_pl.reports.run_order import natural

MOST_RUNS = 100
_TRACES = ("config.yaml", "provenance.json", "train.log", "eval.log", ".lock")


@dataclass(frozen=True)
class Found:
    """Runs to compare.

    Attributes:
        folders: Of the runs that have metrics.
        names: By what differs within a sweep; None for a run that was given by itself.
        failed: Sub-folders of sweeps in which a run has begun and left no metrics.
    """

    folders: list[Path]
    names: list[str | None]
    failed: list[Path]


def expand(given: Sequence[Path]) -> Found:
    """Replace each sweep by its runs.

    Raises:
        ValueError: There are too many runs, or none in a sweep; one line.
    """
    found = Found([], [], [])
    sweeps = [path for path in given if is_sweep(path)]
    for path in given:
        if path not in sweeps:
            found.folders.append(path)
            found.names.append(None)
            continue
        begun = sorted(
            # A number alone is a link to a job's folder.
            (b for b in path.iterdir() if b.is_dir() and not b.is_symlink() and _is_run(b)),
            key=lambda below: natural(below.name),
        )
        runs = [below for below in begun if (below / "metrics.json").exists()]
        found.failed.extend(below for below in begun if below not in runs)
        configs = [read_config(below) for below in runs]
        names = names_by(differences(configs), configs, [plain(below.name) for below in runs])
        prefix = f"{plain(path.resolve().name)}: " if len(sweeps) > 1 else ""
        found.folders.extend(runs)
        found.names.extend(f"{prefix}{name}" for name in names)
    if len(found.folders) > MOST_RUNS:
        raise ValueError(
            f"{len(found.folders)} runs: a report compares at most {MOST_RUNS}; name some of them"
        )
    return found


def is_sweep(path: Path) -> bool:
    """Whether it has runs in sub-folders and is not one itself."""
    if not path.is_dir() or (path / "metrics.json").exists():
        return False
    return any((below / "metrics.json").exists() for below in path.iterdir() if below.is_dir())


def _is_run(folder: Path) -> bool:
    return any((folder / name).exists() for name in ("metrics.json", *_TRACES))
