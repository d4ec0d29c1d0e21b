"""`results.csv`: one row per run, written as runs end."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from cyclip_pl import files
from studies import plan

ABOUT = ["cell", "seed", "overrides", "device", "commit", "torch", "seconds"]
Row = dict[str, str]


class Keep(Callback):
    """Hydra calls it in the process of a job, when the job has ended."""

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **unused: Any) -> None:
        if job_return.status != JobStatus.COMPLETED:
            return
        folder = Path(config.hydra.runtime.output_dir)
        study = plan.read(folder.parent.name)
        keep(study, study.run_of(folder), folder)


def keep(study: plan.Study, run: plan.Run, folder: Path) -> None:
    """Add the row of a run that has ended; export it if others start from it."""
    if any(other.starts_from(run) for other in study.runs([run.seed])) and not run.export.is_dir():
        export = "from cyclip_pl.cli import export; export()"
        settings = [f"checkpoint={folder}", f"out={run.export}"]
        subprocess.run([sys.executable, "-c", export, *settings], check=True)
    add(study.results, row(run, folder))
    if not study.settings.get("keep_checkpoints"):
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)


def row(run: plan.Run, folder: Path) -> Row:
    """A run that has ended → its row: what it is, where it ran, and its metrics.

    Bounds of metrics are over the images of a set; a study has its own, over seeds. `last/<term>`
    is the last logged value of a term of the training.
    """
    made_by = json.loads((folder / "provenance.json").read_text("utf-8"))
    metrics = json.loads((folder / "metrics.json").read_text("utf-8"))
    git = made_by["git"] or {}
    device = made_by["cpu_kind"] if made_by["device"] == "cpu" else made_by["device"]
    about = (run.cell, run.seed, " ".join(run.overrides), device)
    about += (git.get("revision", "")[:10], made_by["packages"]["torch"])
    about += (round(metrics.pop("train/seconds")),)
    found = dict(zip(ABOUT, map(str, about), strict=True))
    for name, value in metrics.items():
        if value is not None and not name.endswith(("_low", "_high")):
            found[name] = f"{value:.5g}"
    for logged in read(folder / "csv" / "metrics.csv"):
        for name, text in logged.items():
            if text and name.startswith("train/"):
                found[f"last/{name.removeprefix('train/')}"] = f"{float(text):.5g}"
    return found


def read(path: Path) -> list[Row]:
    """The rows of a file; none where there is no file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def add(path: Path, new: Row) -> None:
    """Put a row in its place, which is by cell and seed; columns are those that any row has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.locked(path.with_suffix(".lock")):
        rows = [
            one for one in read(path) if (one["cell"], one["seed"]) != (new["cell"], new["seed"])
        ]
        rows = sorted([*rows, new], key=lambda one: (one["cell"], int(one["seed"])))
        columns = dict.fromkeys(name for one in rows for name, value in one.items() if value)
        text = io.StringIO()
        table = csv.DictWriter(
            text, [*ABOUT, *sorted(columns.keys() - set(ABOUT))], restval="", lineterminator="\n"
        )
        table.writeheader()
        table.writerows({key: one.get(key, "") for key in table.fieldnames} for one in rows)
        with files.atomic(path) as partial:
            partial.write_text(text.getvalue(), "utf-8")


def of_run(run: plan.Run) -> Row | None:
    """The row of a run, from its own study or from another that has an equal run."""
    own = plan.HERE / run.study / "results.csv"
    for path in (own, *sorted(plan.HERE.glob("*/results.csv"))):
        for one in read(path) if (path.parent / "study.yaml").exists() else ():
            if _key(one) == run.key:
                return one
    return None


def finished(study: plan.Study, run: plan.Run) -> bool:
    """Whether a run has a row; one that has ended, here or in another study, gets it."""
    folder = plan.RUNS / run.name
    found = of_run(run)
    if found is None and (folder / "metrics.json").exists():
        keep(study, run, folder)
        return True
    if found is None:
        return False
    path = plan.HERE / run.study / "results.csv"
    if not any(_key(one) == run.key and one["cell"] == run.cell for one in read(path)):
        add(path, {**found, "cell": run.cell})
    return True


def _key(row: Row) -> str:
    return " ".join((*sorted(row["overrides"].split(" ")), f"seed={row['seed']}"))
