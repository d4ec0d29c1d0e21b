"""Sweeps: folders that tell what varies, and the metric that a search goes by.

Imports are light: Hydra names the folder before torch is needed.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from cyclip_pl import checks

METRIC = "objective_metric"
_FAILED = "job_{}_failed.txt"
_LONGEST = 120  # characters of a folder's name; file systems take 255 bytes
sweep_folder: Path | None = None  # of the sweep that this process runs


class Begin(Callback):
    """Hydra calls it once, in the process that begins a sweep."""

    def on_multirun_start(self, config: DictConfig, **unused: Any) -> None:
        global sweep_folder
        sweep_folder = Path(config.hydra.sweep.dir).absolute()
        for path in sweep_folder.glob(_FAILED.format("*")):  # of an earlier sweep there
            path.unlink()


def job_folder(number: int, overrides: Sequence[str]) -> str:
    """`<number>_<setting>_<value>…` of what this job has for itself, as Hydra's grammar reads it.

    `=` and commas would need quotes in `checkpoint=RUN_FOLDER`.

    Args:
        overrides: All of the job, with those that it shares with the others.
    """
    shared = _shared(sys.argv[1:])
    own = dict(pair for pair in map(_pair, overrides) if pair[0] not in shared)
    last = [key.rpartition(".")[2] for key in own]
    keys = last if len(set(last)) == len(last) else list(own)
    parts = [f"{key}_{value}" for key, value in zip(keys, own.values(), strict=True)]
    name = "_".join([str(number), *(re.sub(r"[^\w.+-]+", "-", p).strip("-") for p in parts)])
    return name[:_LONGEST]


def link_number(folder: Path, number: int) -> None:
    """Let `<number>`, as Hydra calls jobs, lead to the folder, if `job_folder` named it."""
    link = folder.parent / str(number)
    ours = folder.name.startswith(f"{number}_")
    if ours and (link.is_symlink() or not link.exists()):
        try:
            link.unlink(missing_ok=True)
            link.symlink_to(folder.name, target_is_directory=True)
        except OSError:  # a file system without links, or another process was first
            return


def note_failure(folder: Path, number: int, line: str) -> None:
    """Leave a line for the process of the sweep: another machine may be where the job runs."""
    (folder / _FAILED.format(number)).write_text(line, "utf-8")


def failures() -> list[str]:
    """The lines that jobs of this sweep left elsewhere, by their numbers."""
    found = sweep_folder.glob(_FAILED.format("*")) if sweep_folder else ()
    return [p.read_text("utf-8") for p in sorted(found, key=lambda p: int(p.name.split("_")[1]))]


def chosen(metrics: Mapping[str, float], wanted: str | Sequence[str] | None) -> object:
    """What a search goes by: a number, a list of them, or None where no metric is chosen.

    Args:
        wanted: As `callbacks.best.monitor`: `<set>/<evaluation>/<metric>`, or
            `<evaluation>/<metric>` of the first set; or several.

    Raises:
        ValueError: The run has no such metric.
    """
    if wanted is None:
        return None
    if not isinstance(wanted, str):
        return [chosen(metrics, one) for one in wanted]
    name = next((name for name in metrics if f"/{name}".endswith(f"/{wanted}")), None)
    if name is None:
        hint = checks.did_you_mean(wanted, metrics)
        raise ValueError(f"{METRIC}={wanted}: the run has no such metric{hint}")
    return float(metrics[name])


def check(wanted: str | Sequence[str] | None, evaluations: Sequence[str]) -> None:
    """Raise ValueError, before the training, if no evaluation of the run gives the metric."""
    for one in [wanted] if isinstance(wanted, str) else wanted or ():
        *_, evaluation, _ = ["", *one.split("/")]
        if evaluation not in (*evaluations, "train"):
            hint = checks.did_you_mean(evaluation, evaluations)
            has = ", ".join(evaluations) or "none"
            raise ValueError(
                f"{METRIC}={one}: the evaluation {evaluation} does not run{hint} (this run has"
                f" {has})"
            )


def _shared(arguments: Sequence[str]) -> set[str]:
    """The settings that the command line gives one value."""
    parser = OverridesParser.create()
    typed = [one for one in arguments if "=" in one and not one.startswith("-")]
    parsed = [parser.parse_override(one) for one in typed]
    return {str(one.key_or_group) for one in parsed if not one.is_sweep_override()}


def _pair(override: str) -> tuple[str, str]:
    key, _, value = override.lstrip("+~").partition("=")
    # A path is told by its last part.
    return re.split("@", key)[0], os.path.basename(value.strip("'\"").rstrip("/")) or value
