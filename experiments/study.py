"""Run what a study lacks, then write its tables and plots.

    python experiments/study.py claims                      # as make study NAME=claims
    python experiments/study.py claims --seeds 8,9,10       # the same cells with other seeds
    python experiments/study.py claims --report             # tables and plots alone

`experiments/<study>/study.yaml` says which runs make up a study. A run that has a row in a
`results.csv` is not repeated, and one that was interrupted goes on from its checkpoint. The rows
are written as runs end, so a study can go on later or on another machine.

Further arguments that begin with `hydra.` reach Hydra's launcher, e.g. for Slurm:
`--launcher submitit_slurm hydra.launcher.partition=gpu`.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from studies import plan, report
from studies.rows import finished

HERE = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=plan.names(), help="of the study")
    parser.add_argument("--seeds", type=numbers, help="0,1,2: these in place of the study's own")
    parser.add_argument("--cells", type=words, help="names of cells, with commas: only these")
    parser.add_argument("--launcher", default="joblib", help="Hydra's: joblib, submitit_slurm, …")
    parser.add_argument(
        "--jobs", type=int, help="runs side by side, for joblib; default: one a core"
    )
    parser.add_argument("--list", action="store_true", help="print the runs that have no row")
    parser.add_argument("--report", action="store_true", help="run nothing")
    options, further = parser.parse_known_args()
    if unknown := [one for one in further if not one.startswith("hydra.")]:
        parser.error(f"unknown arguments: {' '.join(unknown)}")
    study = plan.read(options.name)
    runs = study.runs(options.seeds, options.cells)
    missing = [run for run in runs if not finished(study, run)]
    missing = [*plan.lost(study.runs(options.seeds), missing), *missing]
    if options.list:
        print("\n".join(f"{run.name}: {' '.join(run.overrides)}" for run in missing))
        print(f"{len(missing)} of {len(runs)} runs to go")
        return
    if missing and not options.report:
        try:
            study.prepare()
            launch(missing, options.launcher, options.jobs, further)
        finally:  # also where a run failed
            report.write(study)
    else:
        report.write(study)


def launch(runs: list[plan.Run], launcher: str, jobs: int | None, further: list[str]) -> None:
    """Train and evaluate the runs through Hydra's launcher; a failed run does not stop others."""
    # A launcher's processes import the modules beside this file.
    path = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE), *([path] if path else [])])
    plan.hand_over(runs)
    command = ["-m", "hydra/sweeper=study", f"hydra/launcher={launcher}"]
    if launcher == "joblib":
        command.append(f"hydra.launcher.n_jobs={jobs or os.cpu_count()}")
    callback = "{_target_: studies.rows.Keep}"
    command += [f"hydra.sweep.dir={plan.RUNS}", f"+hydra.callbacks.rows={callback}", *further]
    sys.argv[1:] = command
    from cyclip_pl.cli import train

    train()


def numbers(text: str) -> list[int]:
    return [int(one) for one in text.split(",")]


def words(text: str) -> list[str]:
    return text.split(",")


if __name__ == "__main__":
    main()
