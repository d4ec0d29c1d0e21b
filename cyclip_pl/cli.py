"""Commands that take a config: Hydra composes it, and an error is one line.

Imports are light: `--help` and a mistyped override must not wait for torch.
"""

from __future__ import annotations

import os
import sys

import hydra

from cyclip_pl import __version__, signals, sweeps
from cyclip_pl.command_line import as_typed
from cyclip_pl.conf_dir import config_dir
from cyclip_pl.jobs import Job, JobFailed, prepare, told


def train() -> None:
    """Run `python train.py [group=choice] [key=value] …`."""
    _main("train", "cyclip_pl.training.train")


def evaluate() -> None:
    """Run `python eval.py checkpoint=PATH [evaluation=[…]] …`."""
    _main("eval", "cyclip_pl.evaluating.evaluate")


def export() -> None:
    """Run `cyclip-export checkpoint=PATH out=DIR [format=…] …`."""
    _main("export", "cyclip_pl.exporting.export")


def search() -> None:
    """Run `cyclip-search checkpoint=PATH shards=PATH …`."""
    _main("search", "cyclip_pl.searching.search")


def _main(config_name: str, task: str) -> None:
    if "--version" in sys.argv[1:]:  # Hydra would tell its own
        print(f"cyclip-pl {__version__}")
        return
    prepare()
    # The signal by which submitit asks a job to stop: the one that our runs save on.
    os.environ.setdefault("SUBMITIT_PREEMPT_SIGNAL", "USR1")
    job = Job(config_name, task)
    failed: list[str] = []
    try:
        sys.argv[1:] = map(as_typed, sys.argv[1:])
        main = hydra.main(version_base="1.3", config_path=config_dir(), config_name=config_name)
        with signals.handled():
            main(job)()
    except JobFailed as error:
        failed = [str(error)]
    except Exception as error:
        if not job.failed:
            told(error, config_name)
            sys.exit(1)
    # Also where the sweeper went on: a search counts a failed job as a failed trial.
    failed = job.failed or sweeps.failures() or failed
    for line in failed:
        print(f"error: {line}", file=sys.stderr)
    if failed:
        sys.exit(1)
