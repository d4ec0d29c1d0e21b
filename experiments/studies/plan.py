"""`study.yaml` → the runs of a study.

    overrides: [trainer.max_steps=500]      # of every run
    seeds: [0, 1, 2]
    cells:                                  # what is compared; commas make one cell per value
      clip: [objective=clip]
      grid: [objective.lambda_in_modal=0,0.5,1]
    protocols: [zero_shot, knn]             # of the evaluation, once, at the end; default: all
    prepare: experiments/noise/shards.py    # makes what the runs need; may be missing

A cell may have seeds of its own: `clip: {seeds: [0], overrides: [objective=clip]}`. In an override
`@clip@` is the folder of that cell's run with the same seed, exported for open_clip: what a run
starts from. Such a run begins when the other has ended.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser

HERE = Path(__file__).resolve().parents[1]
RUNS = Path("runs/studies")
PROTOCOLS = (
    *("zero_shot", "retrieval", "consistency", "hierarchy", "geometry", "robustness"),
    *("linear_probe", "knn"),
)
COMMON = (
    "callbacks.best.monitor=null",
    "callbacks.last.every_n_minutes=5",
    "logger=csv",
    "resume=auto",
)
EXPORT = "export"
handed: list[list[Run]] = []
"""What the sweeper gives to the launcher, one stage after another."""


@dataclass(frozen=True)
class Run:
    """One training of a study; `overrides` are what it differs in from the default run."""

    study: str
    cell: str
    seed: int
    overrides: tuple[str, ...]
    protocols: tuple[str, ...] = PROTOCOLS

    @property
    def key(self) -> str:
        """Equal for equal runs, also of different studies."""
        return " ".join((*sorted(self.overrides), f"seed={self.seed}"))

    @property
    def name(self) -> str:
        """Its folder below `runs/studies`: what it is; with other settings it is another."""
        cell = self.cell.replace(" ", "_").replace("/", "-")
        settings = hashlib.sha256(self.key.encode()).hexdigest()[:8]
        return f"{self.study}/{cell}_{self.seed}_{settings}"

    @property
    def job(self) -> list[str]:
        """Hydra's overrides."""
        own = [f"seed={self.seed}", f"hydra.sweep.subdir={self.name}"]
        evaluation = [f"evaluation=[{','.join(self.protocols)}]"]
        evaluation += [
            f"evaluation.{one}.cadence.every_n_steps=null"
            for one in ("zero_shot", "retrieval")  # those that also run within a training
            if one in self.protocols
        ]
        return [*COMMON, *evaluation, *self.overrides, *own]

    @property
    def export(self) -> Path:
        """The folder that other runs may start from."""
        return RUNS / self.name / EXPORT

    def starts_from(self, other: Run) -> bool:
        """Whether the other must have ended first."""
        return any(one.endswith(f"={other.export}") for one in self.overrides)


@dataclass(frozen=True)
class Study:
    """A folder of `experiments/`."""

    name: str
    settings: dict[str, Any]

    @property
    def folder(self) -> Path:
        return HERE / self.name

    @property
    def results(self) -> Path:
        return self.folder / "results.csv"

    def runs(
        self, seeds: Sequence[int] | None = None, cells: Iterable[str] | None = None
    ) -> list[Run]:
        """Every run, seed by seed, so that a study that stops early has whole seeds.

        Raises:
            ValueError: A cell that the study does not have.
        """
        found: list[Run] = []
        protocols = tuple(self.settings.get("protocols", PROTOCOLS))
        for name, cell in self.settings["cells"].items():
            of_cell = cell if isinstance(cell, dict) else {"overrides": cell}
            shared = [*self.settings.get("overrides", ()), *of_cell["overrides"]]
            for values, overrides in expanded(shared):
                full = " ".join([name, *values])
                for seed in seeds or of_cell.get("seeds", self.settings["seeds"]):
                    found.append(Run(self.name, full, seed, tuple(overrides), protocols))
        exports = {(run.cell, run.seed): str(run.export) for run in found}
        found = [
            replace(run, overrides=tuple(_filled(one, run.seed, exports) for one in run.overrides))
            for run in found
        ]
        if cells is not None:
            if unknown := set(cells) - {run.cell for run in found}:
                raise ValueError(
                    f"study {self.name} has no cell named {', '.join(sorted(unknown))}"
                )
            found = [run for run in found if run.cell in set(cells)]
        return sorted(found, key=lambda run: run.seed)

    def run_of(self, folder: Path) -> Run:
        """The run whose folder this is."""
        seed = int(folder.name.split("_")[-2])
        return next(run for run in self.runs([seed]) if run.name == f"{self.name}/{folder.name}")

    def prepare(self) -> None:
        """Make what the runs need."""
        if script := self.settings.get("prepare"):
            subprocess.run([sys.executable, str(HERE.parent / script)], check=True)


def expanded(overrides: Sequence[str]) -> list[tuple[list[str], list[str]]]:
    """Overrides with several values → (the values, overrides with one value each), every choice."""
    choices: list[list[tuple[str | None, str]]] = []
    for text, override in zip(
        overrides, OverridesParser.create().parse_overrides(list(overrides)), strict=True
    ):
        if not override.is_sweep_override():
            choices.append([(None, text)])
            continue
        key = override.get_key_element()
        choices.append([(str(v), f"{key}={v}") for v in override.sweep_string_iterator()])
    return [
        ([value for value, _ in chosen if value is not None], [text for _, text in chosen])
        for chosen in itertools.product(*choices)
    ]


def names() -> list[str]:
    """The studies that there are."""
    return sorted(path.parent.name for path in HERE.glob("*/study.yaml"))


def read(name: str) -> Study:
    """A study by its folder's name."""
    settings = yaml.safe_load((HERE / name / "study.yaml").read_text("utf-8"))
    return Study(name, settings)


def lost(every: Sequence[Run], missing: Sequence[Run]) -> list[Run]:
    """The runs that missing ones start from and whose exports are not on this machine."""
    return [
        run
        for run in every
        if run not in missing
        and not run.export.is_dir()
        and any(one.starts_from(run) for one in missing)
    ]


def hand_over(runs: Sequence[Run]) -> None:
    """Tell the sweeper of this process which runs to launch."""
    first = [run for run in runs if any(other.starts_from(run) for other in runs)]
    stages = (first, [run for run in runs if run not in first])
    handed[:] = [stage for stage in stages if stage]


def _filled(override: str, seed: int, exports: Mapping[tuple[str, int], str]) -> str:
    return re.sub(r"@(.+?)@", lambda match: exports[match[1], seed], override)
